// Command scorer is what the tests deploy: a program without libraries that answers with what it was deployed with, and with who
// it works as.
package main

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
)

func main() {
	port := os.Getenv("PORT")
	if port == "" {
		port = "8080"
	}
	fmt.Println("scorer", os.Getenv("VERSION"), "listens at", port)
	http.HandleFunc("/live", func(http.ResponseWriter, *http.Request) {})
	http.HandleFunc("/crash", func(http.ResponseWriter, *http.Request) { fmt.Println("scorer crashes"); os.Exit(3) })
	http.HandleFunc("/v1/score", func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		answer := map[string]any{
			"version": os.Getenv("VERSION"), "deployment": os.Getenv("AZUREML_DEPLOYMENT_NAME"), "body": string(body), "pid": os.Getpid(),
			"authorization": r.Header.Get("Authorization"), "who": who(), "model": model(),
		}
		_ = json.NewEncoder(w).Encode(answer) // the caller has gone away if this fails
	})
	if os.Getenv("BROKEN") != "" {
		fmt.Println("scorer has lost its model")
		os.Exit(4)
	}
	fmt.Println(http.ListenAndServe(":"+port, nil))
	os.Exit(1)
}

// model is what the files of the model say.
func model() string {
	var out []string
	_ = filepath.WalkDir(os.Getenv("AZUREML_MODEL_DIR"), func(path string, entry os.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			if err == nil && strings.HasPrefix(entry.Name(), ".") {
				return filepath.SkipDir
			}
			return nil
		}
		if text, err := os.ReadFile(path); err == nil {
			out = append(out, strings.TrimSpace(string(text)))
		}
		return nil
	})
	return strings.Join(out, ",")
}

// who is the object id of the identity whose token the program gets without naming it.
func who() string {
	ask, err := http.NewRequest(http.MethodGet, os.Getenv("IDENTITY_ENDPOINT")+"?api-version=2019-08-01&resource="+url.QueryEscape("https://ml.azure.com"), nil)
	if err != nil {
		return err.Error()
	}
	ask.Header.Set("X-IDENTITY-HEADER", os.Getenv("IDENTITY_HEADER"))
	answer, err := http.DefaultClient.Do(ask)
	if err != nil {
		return err.Error()
	}
	var token struct {
		Token string `json:"access_token"`
	}
	if err := json.NewDecoder(answer.Body).Decode(&token); err != nil {
		return err.Error()
	}
	parts := strings.Split(token.Token, ".")
	if len(parts) != 3 {
		return "no token"
	}
	text, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return err.Error()
	}
	var claims struct {
		ObjectID string `json:"oid"`
	}
	_ = json.Unmarshal(text, &claims) // an empty one is seen
	return claims.ObjectID
}
