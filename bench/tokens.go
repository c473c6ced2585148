package bench

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"sync"

	"github.com/alvara-ml/alvara/identity"
	"github.com/alvara-ml/alvara/resource"
	"github.com/alvara-ml/alvara/store/mem"
)

const (
	benchTenant   = "11111111-2222-4333-8444-555555555555"
	benchAudience = "https://management.azure.com/"
)

// signing is a token service with one managed identity, and a key of the service's kind for the limits.
type signing struct {
	service   *identity.Service
	verify    *identity.Authenticator
	principal string
	key       *rsa.PrivateKey
	sum       [sha256.Size]byte
}

func openSigning(ctx context.Context) (*signing, error) {
	dir, err := os.MkdirTemp("", "alvara-bench-")
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(dir) }() // scratch
	sealer, err := identity.OpenSealer(filepath.Join(dir, "master.key"))
	if err != nil {
		return nil, err
	}
	store := mem.New()
	directory, err := identity.OpenDirectory(store, benchTenant, nil)
	if err != nil {
		return nil, err
	}
	keys, err := identity.OpenKeys(ctx, identity.KeysConfig{Store: store, Sealer: sealer})
	if err != nil {
		return nil, err
	}
	service, err := identity.NewService(identity.Config{
		Authority: "https://127.0.0.1:1", Directory: directory, Keys: keys, Store: store,
		Resources: []identity.Resource{{Name: "resourceManager", Identifiers: []string{benchAudience}}},
	})
	if err != nil {
		return nil, err
	}
	verify, err := service.Authenticator()
	if err != nil {
		return nil, err
	}
	id := resource.MustParseID("/subscriptions/" + benchTenant + "/resourceGroups/g/providers/Microsoft.ManagedIdentity/userAssignedIdentities/bench")
	managed, ops, err := directory.ManagedIdentityOps(id, "bench")
	if err != nil {
		return nil, err
	}
	if _, err := store.Apply(ctx, ops...); err != nil {
		return nil, err
	}
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	return &signing{service: service, verify: verify, principal: managed.PrincipalID, key: key, sum: sha256.Sum256([]byte("x"))}, err
}

func (s *signing) issue(ctx context.Context) (string, error) {
	set, err := s.service.IssueManaged(ctx, s.principal, benchAudience)
	return set.AccessToken, err
}

func (s *signing) authenticate(ctx context.Context, token string) error {
	_, err := s.verify.Authenticate(ctx, token, "resourceManager")
	return err
}

func (s *signing) sign() ([]byte, error) {
	return rsa.SignPKCS1v15(rand.Reader, s.key, crypto.SHA256, s.sum[:])
}

// tokens is P2: issuing beside one signature, a token seen for the first time beside one verification, and a known token
// beside finding it in a map.
func tokens(ctx context.Context, e effort) ([]Measurement, error) {
	s, err := openSigning(ctx)
	if err != nil {
		return nil, err
	}
	var found []Measurement
	for _, measure := range []func(*signing, context.Context, effort) (Measurement, error){(*signing).issuing, (*signing).first, (*signing).known} {
		m, err := measure(s, ctx, e)
		if err != nil {
			return nil, err
		}
		m.ID = "P2"
		found = append(found, m)
	}
	return found, nil
}

func (s *signing) issuing(ctx context.Context, e effort) (Measurement, error) {
	n := max(500/e.Scale, 5)
	limit, ours, err := turns(e.Rounds, repeat(n, func(int) error {
		_, err := s.sign()
		return err
	}), repeat(n, func(int) error {
		_, err := s.issue(ctx)
		return err
	}))
	return Measurement{
		Name: "issue a token", Ratio: ours.CPU / limit.CPU, Target: "CPU ≤ 1.15 × an RSA-2048 signature", Met: ours.CPU <= 1.15*limit.CPU,
		Ours: ours, Limit: limit, Size: fmt.Sprintf("%d tokens; ours %.0f µs each, limit %.0f µs", n, ours.CPU/float64(n)*1e6, limit.CPU/float64(n)*1e6),
	}, err
}

func (s *signing) first(ctx context.Context, e effort) (Measurement, error) {
	n := max(500/e.Scale, 5)
	fresh := make([]string, n*e.Rounds)
	for i := range fresh {
		token, err := s.issue(ctx)
		if err != nil {
			return Measurement{}, err
		}
		fresh[i] = token
	}
	signature, err := s.sign()
	if err != nil {
		return Measurement{}, err
	}
	next := 0
	limit, ours, err := turns(e.Rounds, repeat(n, func(int) error {
		return rsa.VerifyPKCS1v15(&s.key.PublicKey, crypto.SHA256, s.sum[:], signature)
	}), repeat(n, func(int) error {
		next++
		return s.authenticate(ctx, fresh[next-1])
	}))
	return Measurement{
		Name: "authenticate with a new token", Ratio: ours.CPU / limit.CPU, Target: "none; CPU beside an RSA-2048 verification", Met: true,
		Ours: ours, Limit: limit, Size: fmt.Sprintf("%d tokens; ours %.1f µs each, limit %.1f µs", n, ours.CPU/float64(n)*1e6, limit.CPU/float64(n)*1e6),
	}, err
}

func (s *signing) known(ctx context.Context, e effort) (Measurement, error) {
	n := max(1_000_000/e.Scale, 1000)
	token, err := s.issue(ctx)
	if err != nil {
		return Measurement{}, err
	}
	var mu sync.RWMutex
	seen, hits := map[string]int{token: 1}, 0
	limit, ours, err := turns(e.Rounds, repeat(n, func(int) error {
		mu.RLock()
		hits += seen[token]
		mu.RUnlock()
		return nil
	}), repeat(n, func(int) error { return s.authenticate(ctx, token) }))
	micros := ours.CPU / float64(n) * 1e6
	return Measurement{
		Name: "authenticate with a known token", Ratio: ours.CPU / limit.CPU, Target: "CPU ≤ 1 µs", Met: micros <= 1 && hits > 0,
		Ours: ours, Limit: limit, Size: fmt.Sprintf("%d requests; ours %.3f µs each, limit (a map look-up of the token) %.3f µs", n, micros, limit.CPU/float64(n)*1e6),
	}, err
}

func repeat(n int, do func(i int) error) func() (Cost, error) {
	return func() (Cost, error) {
		return timed(func() error {
			for i := range n {
				if err := do(i); err != nil {
					return err
				}
			}
			return nil
		})
	}
}
