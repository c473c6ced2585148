package machinelearning_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/alvara-ml/alvara/arm"
	"github.com/alvara-ml/alvara/guard"
	"github.com/alvara-ml/alvara/identity"
	"github.com/alvara-ml/alvara/resource"
	"github.com/alvara-ml/alvara/store"
)

// fakeImages stands for what registries hold and build: images by registry/repository:reference, and runs that end when they
// are told to.
type fakeImages struct {
	world *world

	mu      sync.Mutex
	digests map[string]string
	runs    []object          // the requests, in order
	files   map[string]string // of storage, by account/container/path; who reads them is not asked
}

func (f *fakeImages) list(_ context.Context, _ identity.Principal, account, container, prefix string) ([]string, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var out []string
	for path := range f.files {
		if name, ok := strings.CutPrefix(path, account+"/"+container+"/"); ok && strings.HasPrefix(name, prefix) {
			out = append(out, name)
		}
	}
	return out, nil
}

func (f *fakeImages) open(_ context.Context, _ identity.Principal, account, container, path string) (io.ReadCloser, int64, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	text := f.files[account+"/"+container+"/"+path]
	return io.NopCloser(strings.NewReader(text)), int64(len(text)), nil
}

func (f *fakeImages) read(_ context.Context, _ identity.Principal, account, container, path string) ([]byte, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	text, found := f.files[account+"/"+container+"/"+path]
	switch {
	case !found:
		return nil, resource.NotFoundf("BlobNotFound", "there is no %s", path)
	case strings.Contains(text, "secret"):
		return nil, resource.Forbiddenf("AuthorizationPermissionMismatch", "%s may not be read", path)
	}
	return []byte(text), nil
}

// put writes a file of the folder ctx in the container data of the account acct.
func (f *fakeImages) put(name, text string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.files == nil {
		f.files = map[string]string{}
	}
	f.files["acct/data/ctx/"+name] = text
}

func hostName(registry string) string { return registry + ".example:5000" }

func (f *fakeImages) Hosts() map[string]resource.ID {
	out := map[string]resource.ID{}
	docs, err := f.world.store.List(context.Background(), store.Query{Kind: "microsoft.containerregistry/registries"})
	if err != nil {
		panic(err)
	}
	for _, doc := range docs {
		var r struct{ ID resource.ID }
		if err := json.Unmarshal(doc.Body, &r); err != nil {
			panic(err)
		}
		out[hostName(r.ID.Name())] = r.ID
	}
	return out
}

func (f *fakeImages) Digest(_ context.Context, who identity.Principal, registry resource.ID, repository, reference string) (string, error) {
	if !f.world.manager.Guard.Allowed(guard.Request{Who: who, Action: "Microsoft.ContainerRegistry/registries/pull/read", Scopes: []resource.ID{registry}}) {
		return "", resource.Forbiddenf("DENIED", "%s may not pull", who.ID)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if digest := f.digests[registry.Name()+"/"+repository+":"+reference]; digest != "" {
		return digest, nil
	}
	return "", resource.NotFoundf("MANIFEST_UNKNOWN", "there is none")
}

func (*fakeImages) Upload(_ context.Context, url string, source io.Reader, size int64) error {
	time.Sleep(5 * time.Millisecond) // as an upload takes time, others come meanwhile
	n, err := io.Copy(io.Discard, source)
	if err == nil && (n != size || url != "https://upload") {
		err = fmt.Errorf("%d bytes of %d for %s", n, size, url)
	}
	return err
}

// push makes an image with a digest of one repeated letter.
func (f *fakeImages) push(registry, image, letter string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.digests[registry+"/"+image] = "sha256:" + strings.Repeat(letter, 64)
}

// scheduled gives the requests for runs until now.
func (f *fakeImages) scheduled() []answer {
	f.mu.Lock()
	defer f.mu.Unlock()
	var out []answer
	for _, run := range f.runs {
		out = append(out, answer{Body: run})
	}
	return out
}

func (f *fakeImages) actions() []arm.Action[object] {
	return []arm.Action[object]{
		{Name: "listBuildSourceUploadUrl", Run: func(context.Context, *arm.Call, *arm.Resource[object]) (any, error) {
			return object{"uploadUrl": "https://upload", "relativePath": "source"}, nil
		}},
		{Name: "listCredentials", Run: func(_ context.Context, _ *arm.Call, r *arm.Resource[object]) (any, error) {
			if r.Properties["adminUserEnabled"] != true {
				return nil, resource.Invalidf("UnAuthorizedForCredentialOperations", "the admin user is disabled")
			}
			return object{"username": r.Name, "passwords": []any{object{"name": "password", "value": "the password of " + r.Name}}}, nil
		}},
		{Name: "scheduleRun", Run: func(_ context.Context, call *arm.Call, r *arm.Resource[object]) (any, error) {
			request := object{"caller": call.Who.ID}
			if err := json.Unmarshal(call.Body, &request); err != nil {
				return nil, err
			}
			f.mu.Lock()
			f.runs = append(f.runs, request)
			name := fmt.Sprintf("cr%d", len(f.runs))
			f.mu.Unlock()
			f.setRun(r.ID.Child("runs", name), "Queued")
			return object{"name": name}, nil
		}},
	}
}

// setRun says how far a run is.
func (f *fakeImages) setRun(id resource.ID, status string) {
	body, err := json.Marshal(object{"id": id, "properties": object{"status": status, "runErrorMessage": map[bool]string{true: "it broke"}[status == "Failed"]}})
	if err == nil {
		_, err = f.world.store.Apply(context.Background(), store.Put{Key: id.Key(), Kind: "microsoft.containerregistry/registries/runs", Body: body})
	}
	if err != nil {
		panic(err)
	}
}
