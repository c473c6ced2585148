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
	Identities []string // object ids of the principals that it may use
	Default    string   // the one that it gets without naming one; "" takes the only one, if there is only one
	// Bound makes the secret good at the run's own address alone (ManagedEndpoint.For). Its ID is no other run's then.
	Bound bool
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
	r.Restore(secret, run)
	return secret
}

// Restore registers a run under the secret that Register made for it in the life of an earlier server.
func (r *Runs) Restore(secret string, run Run) {
	run.Identities = slices.Clone(run.Identities)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.runs[sha256.Sum256([]byte(secret))] = run
}

// Unregister makes the secret worthless. Tokens that were issued stay valid until they expire.
func (r *Runs) Unregister(secret string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.runs, sha256.Sum256([]byte(secret)))
}

// find compares hashes, so that timing tells nothing about the secret. A bound run is found at its own address alone, which is at, and
// the others where at is "".
func (r *Runs) find(secret, at string) (Run, bool) {
	sum := sha256.Sum256([]byte(secret))
	r.mu.RLock()
	defer r.mu.RUnlock()
	for known, run := range r.runs {
		if subtle.ConstantTimeCompare(known[:], sum[:]) == 1 {
			return run, run.Bound == (at != "") && (at == "" || at == run.ID)
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
