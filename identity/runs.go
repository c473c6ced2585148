package identity

import (
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"slices"
	"strings"
	"sync"
)

// Run is something that Alvara runs and that may ask for tokens of its identities: a job, a cluster's node, an endpoint.
type Run struct {
	ID         string   // names it in the log
	Identities []string // object ids of the managed identities that it may use
	Default    string   // the one that it gets without naming one; "" takes the only one, if there is only one
}

// Runs knows the runs that are under way and their secrets. All methods may be called concurrently.
type Runs struct {
	mu   sync.RWMutex
	runs map[[sha256.Size]byte]Run // by the hash of the secret
}

// NewRuns makes an empty registry.
func NewRuns() *Runs { return &Runs{runs: map[[sha256.Size]byte]Run{}} }

// Register makes a secret for a run. Whoever holds it gets the tokens of the run's identities until Unregister.
func (r *Runs) Register(run Run) (secret string) {
	secret = randomText(32)
	run.Identities = slices.Clone(run.Identities)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.runs[sha256.Sum256([]byte(secret))] = run
	return secret
}

// Unregister makes the secret worthless. Tokens that were issued stay valid until they expire.
func (r *Runs) Unregister(secret string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.runs, sha256.Sum256([]byte(secret)))
}

// find compares hashes, so that timing tells nothing about the secret.
func (r *Runs) find(secret string) (Run, bool) {
	sum := sha256.Sum256([]byte(secret))
	r.mu.RLock()
	defer r.mu.RUnlock()
	for known, run := range r.runs {
		if subtle.ConstantTimeCompare(known[:], sum[:]) == 1 {
			return run, true
		}
	}
	return Run{}, false
}

// Env gives the environment variables, in the form NAME=value, with which the Azure SDKs find the managed-identity
// endpoint at baseURL (such as http://127.0.0.1:8445). defaultClientID may be "".
func Env(baseURL, secret, defaultClientID string) []string {
	endpoint := strings.TrimSuffix(baseURL, "/") + "/msi/token"
	env := []string{
		"IDENTITY_ENDPOINT=" + endpoint, "IDENTITY_HEADER=" + secret,
		"MSI_ENDPOINT=" + endpoint, "MSI_SECRET=" + secret,
	}
	if defaultClientID != "" {
		env = append(env, fmt.Sprintf("DEFAULT_IDENTITY_CLIENT_ID=%s", defaultClientID))
	}
	return env
}
