package app

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io/fs"
	"math/rand/v2"
	"net"
	"net/url"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/alvara-ml/alvara/audit"
	"github.com/alvara-ml/alvara/dataplane/inference"
	"github.com/alvara-ml/alvara/provider/machinelearning"
	"github.com/alvara-ml/alvara/resource"
	"github.com/alvara-ml/alvara/serving"
	"github.com/alvara-ml/alvara/store"
)

// openServing opens what keeps deployments running and the plane that they answer through, and completes what the machine learning
// provider works with. The result needs the resource manager before deployments are begun.
func (s *Server) openServing(ctx context.Context, deps *machinelearning.Deps) (*machinelearning.Orders, error) {
	secret, err := s.secret(ctx, "inference")
	if err != nil {
		return nil, err
	}
	tokens := &inference.Tokens{Key: secret, Clock: s.config.Clock}
	orders := &machinelearning.Orders{}
	s.serving = &serving.Controller{
		Launcher: s.launcher, Orders: orders, Records: servingRecords{s.store}, Journal: &servingJournal{dir: s.config.path("logs", "deployments"), clock: s.config.Clock},
		Clock: s.config.Clock, Log: s.config.Log,
	}
	s.onClose(func(context.Context) error { return s.serving.Close() })
	deps.EndpointDeps = machinelearning.EndpointDeps{
		Serving: s.serving, EndpointURL: s.endpointURL, IssueToken: tokens.Issue, ClusterPrincipal: s.directory.FindByClientID, Isolation: s.launcher.Isolation,
	}
	orders.Deps = *deps
	if s.endpoints, err = machinelearning.OpenEndpointCatalog(s.store, *deps); err != nil {
		return nil, err
	}
	s.inference = &inference.Server{
		Domain: s.config.Domain, Authority: s.Endpoints.Authority + "/" + s.Endpoints.Tenant + "/oauth2/authorize",
		Catalog: s.endpoints, Backends: s.serving, Guard: s.guard, Authenticator: s.verify, Tokens: tokens,
		Lookup: s.directory.Active, KeyUsed: s.recordEndpointKey, Choose: rand.IntN, Clock: s.config.Clock, Log: s.config.Log,
	}
	return orders, nil
}

// endpointURL is the address of an online endpoint, with a slash at its end.
func (s *Server) endpointURL(name string) string {
	name = strings.ToLower(name)
	if s.config.Domain == "" {
		return s.Endpoints.Inference + "/" + name + "/"
	}
	u, err := url.Parse(s.Endpoints.Inference)
	if err != nil {
		return ""
	}
	return "https://" + net.JoinHostPort(name+".inference."+s.config.Domain, u.Port()) + "/"
}

// recordEndpointKey records the use of an endpoint's key, where no role decides.
func (s *Server) recordEndpointKey(ctx context.Context, use inference.KeyUse) error {
	record := audit.Record{
		Time: s.config.Clock(), RequestID: use.RequestID, Plane: "inference", Name: "endpoint key", Action: inference.ScoreAction,
		Scope: use.Endpoint.String(), Target: use.Path, Allowed: use.Allowed, Client: use.Client,
	}
	if !use.Allowed {
		record.Reason = "the key is none of the endpoint"
	}
	if err := s.audit.Record(ctx, record); err != nil {
		return audit.Unavailable(err)
	}
	return nil
}

// servingRecords keeps what is known of deployments' instances in the store.
type servingRecords struct{ store store.Store }

const servingKind = "serving/deployments"

func servingKey(key string) string { return "/serving" + key }

func (r servingRecords) Save(ctx context.Context, record serving.Record) error {
	body, err := json.Marshal(record)
	if err != nil {
		return err
	}
	_, err = r.store.Apply(ctx, store.Put{Key: servingKey(record.Key), Kind: servingKind, Body: body})
	return err
}

func (r servingRecords) Delete(ctx context.Context, key string) error {
	_, err := r.store.Apply(ctx, store.Delete{Key: servingKey(key)})
	if resource.KindOf(err) == resource.NotFound {
		return nil
	}
	return err
}

func (r servingRecords) All(ctx context.Context) ([]serving.Record, error) {
	docs, err := r.store.List(ctx, store.Query{Kind: servingKind})
	if err != nil {
		return nil, err
	}
	out := make([]serving.Record, len(docs))
	for i, doc := range docs {
		if err := json.Unmarshal(doc.Body, &out[i]); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// servingJournal keeps what there is to tell of each deployment in a file, of which the older half goes when it is too large.
type servingJournal struct {
	dir   string
	clock func() time.Time
	mu    sync.Mutex
}

const maxJournal = 1 << 20 // bytes

func (j *servingJournal) path(key string) string {
	sum := sha256.Sum256([]byte(key))
	return j.dir + "/" + hex.EncodeToString(sum[:16]) + ".log"
}

// Append writes a line. A full disk costs lines and not the deployment.
func (j *servingJournal) Append(key, line string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if os.MkdirAll(j.dir, 0o700) != nil {
		return
	}
	path := j.path(key)
	if info, err := os.Stat(path); err == nil && info.Size() > maxJournal {
		if text, err := os.ReadFile(path); err == nil {
			_, rest, _ := strings.Cut(string(text[len(text)/2:]), "\n")
			_ = writeFile(path, []byte(rest), 0o600)
		}
	}
	file, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return
	}
	_, _ = file.WriteString(j.clock().UTC().Format(time.RFC3339) + " " + strings.ReplaceAll(line, "\n", " ") + "\n")
	_ = file.Close()
}

// Tail gives the last lines.
func (j *servingJournal) Tail(key string, lines int) ([]string, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	text, err := os.ReadFile(j.path(key))
	if errors.Is(err, fs.ErrNotExist) || len(text) == 0 {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	all := strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
	return all[max(0, len(all)-lines):], nil
}

// Forget removes the lines of a deployment.
func (j *servingJournal) Forget(key string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	_ = os.Remove(j.path(key)) // a file that stays is small, and nobody reads it
}
