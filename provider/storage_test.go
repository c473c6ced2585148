package provider_test

import "testing"

// The account that the server keeps for itself can be made by nobody, and is shown as taken.
func TestReservedAccount(t *testing.T) {
	w := newWorld(t)
	body := map[string]any{"location": "local"}
	refused(t, "the server's own account", w.do("PUT", group+"/providers/Microsoft.Storage/storageAccounts/kept", body), 409, "StorageAccountAlreadyTaken")
	check := func(name string) any {
		got := w.do("POST", subscription+"/providers/Microsoft.Storage/checkNameAvailability", map[string]any{"name": name, "type": "Microsoft.Storage/storageAccounts"})
		if got.Status != 200 {
			t.Fatalf("%s: %d %s", name, got.Status, got.Raw)
		}
		return got.Body["nameAvailable"]
	}
	if check("kept") != false || check("Kept") != false || check("free") != true {
		t.Error("checkNameAvailability does not know which names are free")
	}
}
