package machinelearning_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/machinelearning/armmachinelearning/v4"
)

// Clients find the latest version as the first of a list by time; a list by names has them as texts are ordered.
func TestVersionsByTime(t *testing.T) {
	w := newWorld(t)
	w.must("PUT", ws, object{})
	base := ws + "/models/m/versions"
	for _, version := range []string{"9", "10", "2", "11"} {
		w.must("PUT", base+"/"+version, object{"properties": object{"modelUri": blobs + "m"}})
	}
	w.must("PATCH", base+"/10", object{"properties": object{"description": "later"}})
	w.must("PATCH", base+"/11", object{"properties": object{"isArchived": true}})
	all := func(query string) string {
		t.Helper()
		var names []string
		for next := base + "?" + query; next != ""; {
			got := w.must("GET", next, nil)
			for _, item := range got.get("value").([]any) {
				names = append(names, item.(object)["name"].(string))
			}
			next = got.text("nextLink")
		}
		return strings.Join(names, " ")
	}
	for query, want := range map[string]string{
		"":                                      "10 2 9",
		"$orderBy=createdtime%20desc":           "2 10 9",
		"$orderBy=createdtime":                  "9 10 2",
		"$orderby=CreatedTime%20asc":            "9 10 2",
		"$orderBy=modifiedtime%20desc":          "10 2 9",
		"$orderBy=createdtime%20desc&$top=1":    "2 10 9",
		"$orderBy=createdtime%20desc&$top=2":    "2 10 9",
		"$top=1":                                "10 2 9",
		"$orderBy=createdtime&listViewType=all": "9 10 2 11",
	} {
		if got := all(query); got != want {
			t.Errorf("%q: %s; want %s", query, got, want)
		}
	}
	for _, query := range []string{"$orderBy=name", "$orderBy=createdtime%20up", "$orderBy=createdtime%20asc%20desc"} {
		refused(t, query, w.do("GET", base+"?"+query, nil), 400, "InvalidParameter", "$orderBy")
	}
	refused(t, "a token of another list", w.do("GET", base+"?$orderBy=createdtime&$skipToken=L3g", nil), 400, "InvalidSkipToken")
	pager := w.clients(w.owner).NewModelVersionsClient().NewListPager("rg", "ws", "m", &armmachinelearning.ModelVersionsClientListOptions{OrderBy: ptr("createdtime desc"), Top: ptr(int32(1))})
	page := got[armmachinelearning.ModelVersionsClientListResponse](t)(pager.NextPage(t.Context()))
	if len(page.Value) != 1 || *page.Value[0].Name != "2" {
		t.Errorf("the latest: %s", fmt.Sprint(len(page.Value)))
	}
}
