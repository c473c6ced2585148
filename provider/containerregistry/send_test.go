package containerregistry_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
)

type answer struct {
	Status int
	Header http.Header
	Raw    string
	Body   map[string]any
}

func (a answer) get(path string) any {
	var value any = a.Body
	for _, name := range strings.Split(path, ".") {
		object, ok := value.(map[string]any)
		if !ok {
			return nil
		}
		value = object[name]
	}
	return value
}

func (a answer) text(path string) string { text, _ := a.get(path).(string); return text }

func (a answer) names() []string {
	list, _ := a.get("value").([]any)
	var out []string
	for _, item := range list {
		object, _ := item.(map[string]any)
		name, _ := object["name"].(string)
		out = append(out, name)
	}
	return out
}

func (w *world) as(who, method, path string, body any) answer {
	w.t.Helper()
	text := ""
	switch content := body.(type) {
	case nil:
	case string:
		text = content
	default:
		encoded, err := json.Marshal(content)
		if err != nil {
			w.t.Fatal(err)
		}
		text = string(encoded)
	}
	separator := "?"
	if strings.Contains(path, "?") {
		separator = "&"
	}
	request := httptest.NewRequest(method, "https://example.com"+strings.ReplaceAll(path, " ", "%20")+separator+"api-version=2019-06-01-preview", strings.NewReader(text))
	request.Header.Set("Authorization", "Bearer "+who)
	recorder := httptest.NewRecorder()
	w.manager.ServeHTTP(recorder, request)
	result := answer{Status: recorder.Code, Header: recorder.Header(), Raw: recorder.Body.String()}
	_ = json.Unmarshal(recorder.Body.Bytes(), &result.Body) // some answers are empty
	return result
}

func (w *world) do(method, path string, body any) answer {
	w.t.Helper()
	return w.as(w.owner, method, path, body)
}

func (w *world) must(method, path string, body any) answer {
	w.t.Helper()
	got := w.do(method, path, body)
	if got.Status >= 300 {
		w.t.Fatalf("%s %s: %d %s", method, path, got.Status, got.Raw)
	}
	return got
}

// grant gives somebody a role on a scope.
func (w *world) grant(principal, role, scope string) {
	w.t.Helper()
	w.must("PUT", scope+"/providers/Microsoft.Authorization/roleAssignments/"+uuid.NewString(), map[string]any{"properties": map[string]any{
		"roleDefinitionId": "/providers/Microsoft.Authorization/roleDefinitions/" + role, "principalId": principal}})
}

// with gives the body of a registry of the tier Basic with some properties.
func with(properties map[string]any) map[string]any {
	return map[string]any{"location": "local", "sku": map[string]any{"name": "Basic"}, "properties": properties}
}

// withRegistry makes the registry with an identity of its own.
func (w *world) withRegistry() answer {
	w.t.Helper()
	body := with(nil)
	body["identity"] = map[string]any{"type": "SystemAssigned"}
	return w.must("PUT", fraud, body)
}

// key is the incarnation of a registry.
func (w *world) key(name string) string {
	w.t.Helper()
	r, err := w.catalog.Registry(context.Background(), name)
	if err != nil {
		w.t.Fatal(err)
	}
	return r.Key
}

// refused fails unless a request was refused in a certain way. Each want must be in the message.
func refused(t testing.TB, what string, got answer, status int, code string, wants ...string) {
	t.Helper()
	if got.Status != status || got.text("error.code") != code {
		t.Errorf("%s: answered %d %s; want %d %s", what, got.Status, got.Raw, status, code)
		return
	}
	for _, want := range wants {
		if !strings.Contains(got.text("error.message"), want) {
			t.Errorf("%s: the message does not say %q: %s", what, want, got.text("error.message"))
		}
	}
}

var errDisk = errors.New("the disk is on fire")

// wait is a moment in a loop that waits for something to happen.
func wait() { time.Sleep(2 * time.Millisecond) }
