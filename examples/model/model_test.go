package model_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/alvara-ml/alvara/examples/model"
)

const retrievalSpec = `serialization_version: 2
feature_stores:
  - uri: azureml://subscriptions/11111111-1111-1111-1111-111111111111/resourcegroups/rg/workspaces/fs
    location: local
    workspace_id: 22222222-2222-2222-2222-222222222222
    features:
      - {feature_name: amount, feature_set: "transactions:1"}
      - {feature_name: age, feature_set: "accounts:1"}
`

// train makes a set in which amount tells all and age tells nothing, and trains on it.
func train(t *testing.T) (dir string, loss float64) {
	t.Helper()
	dir = t.TempDir()
	random := rand.New(rand.NewSource(7))
	var table strings.Builder
	table.WriteString("accountID,age,amount,is_fraud\n")
	for i := range 500 {
		amount := random.Float64() * 100
		age := fmt.Sprint(random.Float64() * 50)
		if i%10 == 0 {
			age = "" // a feature that was not known then
		}
		fmt.Fprintf(&table, "A%d,%s,%f,%t\n", i, age, amount, amount > 60)
	}
	for name, text := range map[string]string{"train.csv": table.String(), "spec.yaml": retrievalSpec} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	loss, err := model.Training{
		Data: filepath.Join(dir, "train.csv"), Spec: filepath.Join(dir, "spec.yaml"), Label: "is_fraud", Epochs: 80,
		Out: filepath.Join(dir, "models", "m"), Metrics: filepath.Join(dir, "metrics.jsonl"),
	}.Train(&bytes.Buffer{})
	if err != nil {
		t.Fatal(err)
	}
	return dir, loss
}

func TestTrain(t *testing.T) {
	dir, loss := train(t)
	m, folder, err := model.Read(filepath.Join(dir, "models"))
	if err != nil {
		t.Fatal(err)
	}
	if high, low := m.Score([]float64{95, 25}), m.Score([]float64{5, 25}); high < 0.7 || low > 0.2 {
		t.Errorf("a high amount scores %f and a low one %f", high, low)
	}
	text, err := os.ReadFile(filepath.Join(dir, "metrics.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	var last struct {
		Value float64
		Step  int
	}
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), &last); err != nil || len(lines) != 80 || last.Step != 80 || last.Value != loss {
		t.Errorf("%d metrics, the last %+v %v", len(lines), last, err)
	}
	if _, err := os.Stat(filepath.Join(folder, "feature_retrieval_spec.yaml")); err != nil {
		t.Error(err)
	}
	if _, err := (model.Training{Data: filepath.Join(dir, "train.csv"), Spec: filepath.Join(dir, "spec.yaml"), Label: "absent", Epochs: 1, Out: dir}).Train(&bytes.Buffer{}); err == nil {
		t.Error("a label that is not there was taken")
	}
}

func TestServe(t *testing.T) {
	dir, _ := train(t)
	var asked map[string]any
	planes := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path == "/msi/token" && r.Header.Get("X-IDENTITY-HEADER") == "secret":
			fmt.Fprint(w, `{"access_token":"the token"}`)
		case strings.HasSuffix(r.URL.Path, "/workspaces/fs/online") && r.Header.Get("Authorization") == "Bearer the token":
			if err := json.NewDecoder(r.Body).Decode(&asked); err != nil {
				t.Error(err)
			}
			fmt.Fprint(w, `{"rows":[{"amount":95,"age":null},{"amount":null,"age":3}]}`)
		default:
			w.WriteHeader(http.StatusForbidden)
		}
	}))
	defer planes.Close()
	env := map[string]string{"IDENTITY_ENDPOINT": planes.URL + "/msi/token", "IDENTITY_HEADER": "secret", "ALVARA_FEATURES_ENDPOINT": planes.URL}
	scorer, err := model.OpenScorer(filepath.Join(dir, "models"), func(name string) string { return env[name] })
	if err != nil {
		t.Fatal(err)
	}
	post := func(body string) *httptest.ResponseRecorder {
		w := httptest.NewRecorder()
		scorer.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/score", strings.NewReader(body)))
		return w
	}
	w := post(`{"accountID":["A1","A2"]}`)
	var rows []struct {
		AccountID   string
		Probability float64
	}
	if err := json.Unmarshal(w.Body.Bytes(), &rows); err != nil || w.Code != http.StatusOK || len(rows) != 2 || rows[0].Probability < 0.7 || rows[1].AccountID != "A2" {
		t.Errorf("%d %s %v", w.Code, w.Body, err)
	}
	if features := fmt.Sprint(asked["features"]); features != "[transactions:1:amount accounts:1:age]" {
		t.Errorf("it asked for %s", features)
	}
	if w := post(`{}`); w.Code != http.StatusBadRequest {
		t.Errorf("an empty request: %d", w.Code)
	}
	env["IDENTITY_HEADER"] = "another"
	if w := post(`{"accountID":["A1","A2"]}`); w.Code != http.StatusBadGateway {
		t.Errorf("without a token: %d", w.Code)
	}
	w = httptest.NewRecorder()
	scorer.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/ready", nil))
	if w.Code != http.StatusOK {
		t.Errorf("/ready: %d", w.Code)
	}
}
