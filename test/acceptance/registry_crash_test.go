package acceptance

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
	"github.com/google/go-containerregistry/pkg/v1/validate"

	"github.com/alvara-ml/alvara/test/testenv"
)

// pushes is what clients of a registry were told, over all the times that the server was killed.
type pushes struct {
	server string // the login server, which stays

	mu        sync.Mutex
	present   map[string]bool // acknowledged, by repository@digest; absent from the map while a request for it is under way
	seen      map[string]bool // repositories that were looked at in an earlier round, and are not written to any more
	contended []push          // of the one tag that all push
	uploads   []*upload
	acks      int
}

// push is one push of the contended tag. ended is zero when nobody knows how it ended.
type push struct {
	digest       string
	began, ended time.Time
}

// upload is a blob that is sent in chunks, over several lives of the server.
type upload struct {
	location string
	content  []byte
	acked    int // bytes that the server has said it holds
	sent     int // bytes that were sent, answered or not
}

const (
	contendedTag = "contended/app:latest"
	pushers      = 10
	chunkBytes   = 3000
)

// TestCrashOfTheRegistry kills the server at random moments while clients push images, ten of them one tag, send blobs in
// chunks and delete. What was acknowledged is there and whole, the tag is one that was pushed and not replaced, whatever is
// listed can be pulled, and uploads go on where the server says.
func TestCrashOfTheRegistry(t *testing.T) {
	rounds := 10
	if testing.Short() {
		rounds = 3
	}
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 2))
	dir := testenv.Folder(t)
	h := &pushes{present: map[string]bool{}, seen: map[string]bool{}}
	resumed := 0
	for round := range rounds {
		child := testenv.StartChild(t, dir)
		admin := child.Env.Admin()
		if round == 0 {
			mustDo(t, admin, "PUT", child.Env.Group("images"), map[string]any{"location": "local"})
			got := mustDo(t, admin, "PUT", child.Env.Group("images")+registryType+"crashing", map[string]any{"location": "local", "sku": map[string]any{"name": "Premium"}})
			h.server = got.Text("properties.loginServer")
		}
		c := newRegistryClient(t, child.Env, admin, h.server)
		h.check(t, c, round)
		resumed += h.resume(t, c, round)
		if t.Failed() {
			return
		}
		var clients sync.WaitGroup
		for i := range pushers {
			clients.Go(func() { h.pushTag(c) })
			if i < 3 {
				clients.Go(func() { h.pushImages(c, fmt.Sprintf("r%d/c%d", round, i)) })
				clients.Go(func() { h.sendChunks(c, fmt.Sprintf("r%d/u%d", round, i), seed+uint64(round*10+i)) })
			}
		}
		h.wait(random.IntN(15))
		time.Sleep(time.Duration(random.IntN(100)) * time.Millisecond)
		child.Kill()
		clients.Wait()
	}
	child := testenv.StartChild(t, dir)
	c := newRegistryClient(t, child.Env, child.Env.Admin(), h.server)
	clear(h.seen) // everything once more
	h.check(t, c, rounds)
	resumed += h.resume(t, c, rounds)
	t.Logf("%d rounds, %d acknowledged writes, %d uploads that went on", rounds, h.acks, resumed)
	if h.acks < rounds*3 || resumed < rounds/2 {
		t.Errorf("%d writes were acknowledged and %d uploads went on in %d rounds: the test shows nothing", h.acks, resumed, rounds)
	}
}

// wait returns when so many more writes were acknowledged.
func (h *pushes) wait(more int) {
	acks := func() int {
		h.mu.Lock()
		defer h.mu.Unlock()
		return h.acks
	}
	for goal, until := acks()+more, time.Now().Add(patience); acks() < goal && time.Now().Before(until); {
		time.Sleep(time.Millisecond)
	}
}

const registryType = "/providers/Microsoft.ContainerRegistry/registries/"

// registryClient is somebody's way to one registry, by the library of crane and by plain requests.
type registryClient struct {
	server  string
	http    *http.Client
	token   string
	options []remote.Option
}

func newRegistryClient(t *testing.T, env *testenv.Env, user *testenv.User, server string) *registryClient {
	t.Helper()
	return &registryClient{server: server, http: env.HTTP, token: user.RegistryToken(server), options: user.Remote(server)}
}

// send makes a request; location is a path, or what a Location header had.
func (c *registryClient) send(method, location string, body []byte, headers map[string]string) (*http.Response, []byte, error) {
	request, err := http.NewRequest(method, "https://"+c.server+location, bytes.NewReader(body))
	if err != nil {
		return nil, nil, err
	}
	request.SetBasicAuth("00000000-0000-0000-0000-000000000000", c.token)
	for name, value := range headers {
		request.Header.Set(name, value)
	}
	answer, err := c.http.Do(request)
	if err != nil {
		return nil, nil, err
	}
	defer func() { _ = answer.Body.Close() }() // read to its end, or given up
	text, err := io.ReadAll(answer.Body)
	return answer, text, err
}

func (c *registryClient) ref(image string) name.Reference {
	ref, err := name.ParseReference(c.server + "/" + image)
	if err != nil {
		panic(err) // the test's own names
	}
	return ref
}

// pull gives an image whose every byte was checked.
func (c *registryClient) pull(image string) (v1.Image, error) {
	pulled, err := remote.Image(c.ref(image), c.options...)
	if err == nil {
		err = validate.Image(pulled)
	}
	return pulled, err
}

// absent tells whether a client's error says that there is no such image.
func absent(err error) bool {
	var e *transport.Error
	return errors.As(err, &e) && e.StatusCode == http.StatusNotFound
}

func smallImage() (v1.Image, string) {
	image, err := random.Image(2000, 3)
	if err != nil {
		panic(err)
	}
	digest, err := image.Digest()
	if err != nil {
		panic(err)
	}
	return image, digest.String()
}

// pushTag pushes image after image under the contended tag until the server is gone.
func (h *pushes) pushTag(c *registryClient) {
	for {
		image, digest := smallImage()
		made := push{digest: digest, began: time.Now()}
		err := remote.Write(c.ref(contendedTag), image, c.options...)
		if err == nil {
			made.ended = time.Now()
		}
		h.mu.Lock()
		h.contended = append(h.contended, made)
		if err == nil {
			h.acks++
		}
		h.mu.Unlock()
		if err != nil {
			return
		}
	}
}

// pushImages pushes images into repositories of its own, and deletes some of them, until the server is gone.
func (h *pushes) pushImages(c *registryClient, prefix string) {
	for i := 0; ; i++ {
		image, digest := smallImage()
		repository := fmt.Sprintf("%s/n%d", prefix, i)
		if remote.Write(c.ref(repository+":v1"), image, c.options...) != nil {
			return
		}
		h.note(repository+"@"+digest, true)
		if i%3 != 0 {
			continue
		}
		h.mu.Lock()
		delete(h.present, repository+"@"+digest)
		h.mu.Unlock()
		if remote.Delete(c.ref(repository+"@"+digest), c.options...) != nil {
			return
		}
		h.note(repository+"@"+digest, false)
	}
}

func (h *pushes) note(image string, present bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.present[image] = present
	h.acks++
}

// sendChunks sends a blob in chunks until the server is gone, and begins another one when it is complete.
func (h *pushes) sendChunks(c *registryClient, repository string, seed uint64) {
	random := rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8), byte(seed >> 16), byte(seed >> 24)})
	for {
		answer, _, err := c.send("POST", "/v2/"+repository+"/blobs/uploads/", nil, nil)
		if err != nil || answer.StatusCode != http.StatusAccepted {
			return
		}
		u := &upload{location: answer.Header.Get("Location"), content: make([]byte, 20*chunkBytes)}
		_, _ = random.Read(u.content) // never fails
		h.mu.Lock()
		h.uploads = append(h.uploads, u)
		h.mu.Unlock()
		if u.send(c) != nil {
			return
		}
		u.location = "" // done
	}
}

// send sends what is left, and completes the upload.
func (u *upload) send(c *registryClient) error {
	for u.acked < len(u.content) {
		end := min(u.acked+chunkBytes, len(u.content))
		u.sent = end
		answer, text, err := c.send("PATCH", u.location, u.content[u.acked:end], map[string]string{"Content-Range": fmt.Sprintf("%d-%d", u.acked, end-1)})
		if err != nil {
			return err
		}
		if answer.StatusCode != http.StatusAccepted {
			return fmt.Errorf("a chunk at %d: %s %s", u.acked, answer.Status, text)
		}
		u.acked, u.location = end, answer.Header.Get("Location")
	}
	answer, text, err := c.send("PUT", u.location+"?digest="+sum(u.content), nil, nil)
	if err != nil {
		return err
	}
	if answer.StatusCode != http.StatusCreated {
		return fmt.Errorf("the end: %s %s", answer.Status, text)
	}
	return nil
}

func sum(content []byte) string {
	all := sha256.Sum256(content)
	return "sha256:" + hex.EncodeToString(all[:])
}

// resume goes on with the uploads that a crash has cut off, from where the server says, and gives their number.
func (h *pushes) resume(t *testing.T, c *registryClient, round int) int {
	t.Helper()
	resumed := 0
	for _, u := range h.uploads {
		repository, _, _ := strings.Cut(strings.TrimPrefix(u.location, "/v2/"), "/blobs/")
		if u.location == "" {
			continue
		}
		answer, text, err := c.send("GET", u.location, nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		if answer.StatusCode == http.StatusNotFound && u.acked == len(u.content) {
			// Complete, and cut off before the client heard of it: the blob is there.
		} else {
			_, last, _ := strings.Cut(answer.Header.Get("Range"), "-")
			at, err := strconv.Atoi(last)
			if at++; at == 1 {
				at = 0 // 0-0 is what an empty upload is given as
			}
			if answer.StatusCode != http.StatusNoContent || err != nil || at < u.acked || at > u.sent {
				t.Errorf("round %d: an upload of which %d bytes were acknowledged and %d sent: %s, range %q %s", round, u.acked, u.sent, answer.Status, answer.Header.Get("Range"), text)
				continue
			}
			u.acked = at
			if err := u.send(c); err != nil {
				t.Errorf("round %d: an upload that goes on at %d: %v", round, at, err)
				continue
			}
			resumed++
		}
		u.location = ""
		answer, text, err = c.send("GET", "/v2/"+repository+"/blobs/"+sum(u.content), nil, nil)
		if err != nil || answer.StatusCode != http.StatusOK || !bytes.Equal(text, u.content) {
			t.Errorf("round %d: a blob that was sent in parts: %v %v, %d bytes", round, answer, err, len(text))
		}
	}
	h.uploads = nil
	return resumed
}

// check compares what the registry shows with what was acknowledged.
func (h *pushes) check(t *testing.T, c *registryClient, round int) {
	t.Helper()
	for _, image := range slices.Sorted(maps.Keys(h.present)) {
		repository, _, _ := strings.Cut(image, "@")
		if h.seen[repository] {
			continue
		}
		_, err := c.pull(image)
		if want := h.present[image]; want && err != nil {
			t.Errorf("round %d: %s was acknowledged: %v", round, image, err)
		} else if !want && (err == nil || !absent(err)) {
			t.Errorf("round %d: %s was deleted: %v", round, image, err)
		}
	}
	h.checkTag(t, c, round)
	// Whatever is listed is whole.
	server, err := name.NewRegistry(h.server)
	if err != nil {
		t.Fatal(err)
	}
	repositories, err := remote.Catalog(t.Context(), server, c.options...)
	if err != nil {
		t.Fatal(err)
	}
	for _, repository := range repositories {
		if h.seen[repository] {
			continue
		}
		h.seen[repository] = repository != "contended/app"
		ref, err := name.NewRepository(h.server + "/" + repository)
		if err != nil {
			t.Fatal(err)
		}
		tags, err := remote.List(ref, c.options...)
		if err != nil {
			t.Errorf("round %d: %s is in the catalog: %v", round, repository, err)
		}
		images := make([]string, 0, len(tags))
		for _, tag := range tags {
			images = append(images, repository+":"+tag)
		}
		for _, image := range append(images, c.manifests(t, repository, h)...) {
			if _, err := c.pull(image); err != nil {
				t.Errorf("round %d: %s is listed: %v", round, image, err)
			}
		}
	}
}

// manifests are the names of the manifests that a repository lists; of the contended one those of the last round.
func (c *registryClient) manifests(t *testing.T, repository string, h *pushes) []string {
	t.Helper()
	order := ""
	if repository == "contended/app" {
		order = "&orderby=timedesc"
	}
	answer, text, err := c.send("GET", "/acr/v1/"+repository+"/_manifests?n=30"+order, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	var list struct{ Manifests []struct{ Digest string } }
	if err := json.Unmarshal(text, &list); err != nil || answer.StatusCode != http.StatusOK {
		t.Errorf("the manifests of %s: %s %s", repository, answer.Status, text)
	}
	var images []string
	for _, manifest := range list.Manifests {
		images = append(images, repository+"@"+manifest.Digest)
	}
	return images
}

// checkTag looks whether the contended tag is what a pusher made of it, and not something that was replaced before.
func (h *pushes) checkTag(t *testing.T, c *registryClient, round int) {
	t.Helper()
	if len(h.contended) == 0 {
		return
	}
	image, err := c.pull(contendedTag)
	if err != nil {
		if slices.ContainsFunc(h.contended, func(p push) bool { return !p.ended.IsZero() }) || !absent(err) {
			t.Errorf("round %d: the contended tag: %v", round, err)
		}
		return
	}
	digest, err := image.Digest()
	if err != nil {
		t.Fatal(err)
	}
	at := slices.IndexFunc(h.contended, func(p push) bool { return p.digest == digest.String() })
	if at < 0 {
		t.Errorf("round %d: the contended tag is %s, which nobody pushed", round, digest)
		return
	}
	held := h.contended[at]
	for _, other := range h.contended {
		if other.digest == held.digest || other.ended.IsZero() {
			continue
		}
		if !held.ended.IsZero() && other.began.After(held.ended) {
			t.Errorf("round %d: the contended tag is %s, which was replaced by %s", round, held.digest, other.digest)
		}
		if _, err := remote.Head(c.ref("contended/app@"+other.digest), c.options...); err != nil {
			t.Errorf("round %d: a manifest that was acknowledged and lost its tag: %v", round, err)
		}
	}
	// What comes later replaces whatever is there now.
	h.contended = []push{{digest: held.digest, began: held.began, ended: time.Now()}}
}
