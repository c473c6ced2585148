package model

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"github.com/alvara-ml/alvara/featurestore/spec"
)

// Scorer answers for a model: it looks the features up online, as the identity of the place where it runs, and scores them.
type Scorer struct {
	Model    *Model
	Spec     *spec.RetrievalSpec
	Features string // base URL of the features plane
	Env      func(string) string
	HTTP     *http.Client
}

// OpenScorer reads the model of a folder with its feature retrieval specification.
func OpenScorer(dir string, env func(string) string) (*Scorer, error) {
	m, dir, err := Read(dir)
	if err != nil {
		return nil, err
	}
	path := filepath.Join(dir, spec.RetrievalFileName)
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	wanted, err := spec.ParseRetrievalSpec(path, text)
	if err != nil {
		return nil, err
	}
	if len(wanted.Stores) != 1 {
		return nil, fmt.Errorf("%s names %d feature stores; the example reads one", path, len(wanted.Stores))
	}
	return &Scorer{Model: m, Spec: wanted, Features: env("ALVARA_FEATURES_ENDPOINT"), Env: env, HTTP: &http.Client{Timeout: 30 * time.Second}}, nil
}

// ServeHTTP answers GET /ready, and POST /score with {"accountID": ["A1", …]}.
func (s *Scorer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch {
	case r.Method == http.MethodGet && r.URL.Path == "/ready":
		w.WriteHeader(http.StatusOK)
	case r.Method == http.MethodPost && r.URL.Path == "/score":
		answer, status, err := s.score(r.Context(), r.Body)
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			answer = map[string]string{"error": err.Error()}
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(answer) // the client may be gone
	default:
		http.NotFound(w, r)
	}
}

type scored struct {
	Account     string         `json:"accountID"`
	Probability float64        `json:"probability"`
	Features    map[string]any `json:"features"`
}

func (s *Scorer) score(ctx context.Context, body io.Reader) (any, int, error) {
	var asked struct {
		Accounts []string `json:"accountID"`
	}
	if err := json.NewDecoder(io.LimitReader(body, 1<<20)).Decode(&asked); err != nil || len(asked.Accounts) == 0 {
		return nil, http.StatusBadRequest, errors.New(`{"accountID": ["A1", …]} was expected`)
	}
	rows, err := s.online(ctx, asked.Accounts)
	if err != nil {
		return nil, http.StatusBadGateway, err
	}
	out := make([]scored, len(rows))
	for i, row := range rows {
		values := make([]float64, len(s.Model.Features))
		for j, name := range s.Model.Features {
			values[j] = math.NaN()
			if v, ok := row[name].(float64); ok {
				values[j] = v
			}
		}
		out[i] = scored{asked.Accounts[i], math.Round(s.Model.Score(values)*1e4) / 1e4, row}
	}
	return out, http.StatusOK, nil
}

// online looks the features of accounts up.
func (s *Scorer) online(ctx context.Context, accounts []string) ([]map[string]any, error) {
	token, err := s.token(ctx, "https://ml.azure.com/")
	if err != nil {
		return nil, err
	}
	store := s.Spec.Stores[0]
	var names []string
	for _, feature := range store.Features {
		names = append(names, feature.String())
	}
	asked, err := json.Marshal(map[string]any{"features": names, "keys": map[string][]string{"accountID": accounts}})
	if err != nil {
		return nil, err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, s.Features+store.Store.String()+"/online", bytes.NewReader(asked))
	if err != nil {
		return nil, err
	}
	request.Header.Set("Authorization", "Bearer "+token)
	request.Header.Set("Content-Type", "application/json")
	var answer struct {
		Rows []map[string]any `json:"rows"`
	}
	if err := s.ask(request, &answer); err != nil {
		return nil, err
	}
	if len(answer.Rows) != len(accounts) {
		return nil, fmt.Errorf("%d rows came for %d accounts", len(answer.Rows), len(accounts))
	}
	return answer.Rows, nil
}

// token gets a token of this place's identity, as Azure's SDKs do.
func (s *Scorer) token(ctx context.Context, resource string) (string, error) {
	endpoint := s.Env("IDENTITY_ENDPOINT")
	if endpoint == "" {
		return "", errors.New("there is no identity here: IDENTITY_ENDPOINT is not set")
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, endpoint+"?"+url.Values{"resource": {resource}, "api-version": {"2019-08-01"}}.Encode(), nil)
	if err != nil {
		return "", err
	}
	request.Header.Set("X-IDENTITY-HEADER", s.Env("IDENTITY_HEADER"))
	var token struct {
		Access string `json:"access_token"`
	}
	err = s.ask(request, &token)
	return token.Access, err
}

func (s *Scorer) ask(request *http.Request, into any) error {
	response, err := s.HTTP.Do(request)
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }() // only read
	text, err := io.ReadAll(io.LimitReader(response.Body, 16<<20))
	if err != nil {
		return err
	}
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s: %s", request.URL.Path, response.Status, text)
	}
	return json.Unmarshal(text, into)
}
