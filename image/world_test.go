package image_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"io"
	"log"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"

	"github.com/alvara-ml/alvara/image"
	"github.com/alvara-ml/alvara/image/sandboxed"
	"github.com/alvara-ml/alvara/job/sandbox"
	"github.com/alvara-ml/alvara/worker"
)

// The test binary is its own worker, and the first process of its sandboxes, as the program is.
func TestMain(m *testing.M) {
	if sandbox.IsInit(os.Args) {
		sandbox.Main()
	}
	if len(os.Args) == 3 && os.Args[1] == worker.Argument && os.Args[2] == image.Mode {
		os.Exit(image.WorkerMain(os.Stdin, os.Stdout, sandboxed.New, nil))
	}
	os.Exit(m.Run())
}

var tool = sync.OnceValues(func() ([]byte, error) {
	folder, err := os.MkdirTemp("", "tool")
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(folder) }()
	build := exec.Command("go", "build", "-trimpath", "-ldflags=-s -w", "-o", filepath.Join(folder, "tool"), "./testdata/tool")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		log.Print(string(out))
		return nil, err
	}
	return os.ReadFile(filepath.Join(folder, "tool"))
})

// file is an entry of an archive.
type file struct {
	name, text, link string
	kind             byte
	mode             int64
	uid              int
}

func archive(t testing.TB, files ...file) []byte {
	t.Helper()
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for _, f := range files {
		h := &tar.Header{Name: f.name, Typeflag: f.kind, Mode: f.mode, Size: int64(len(f.text)), Linkname: f.link, Uid: f.uid, Gid: f.uid}
		if h.Typeflag == 0 {
			h.Typeflag = tar.TypeReg
		}
		if h.Mode == 0 {
			h.Mode = 0o755
		}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, f.text); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func zipped(t testing.TB, plain []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	if _, err := w.Write(plain); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func folder(name string) file { return file{name: name, kind: tar.TypeDir} }

// world is a registry with a base image, and a place for builds.
type world struct {
	t    testing.TB
	host string
	dir  string
	base string // the base image's reference
}

func newWorld(t testing.TB) *world {
	t.Helper()
	if can := sandbox.Check(); !can.Ready() {
		t.Skipf("no sandbox on this machine: %v", can.Lacks)
	}
	server := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	t.Cleanup(server.Close)
	w := &world{t: t, host: strings.TrimPrefix(server.URL, "http://"), dir: t.TempDir()}
	program, err := tool()
	if err != nil {
		t.Fatal(err)
	}
	w.base = w.push("base:1", nil, archive(t, folder("bin/"), file{name: "bin/sh", text: string(program)}, folder("etc/"),
		file{name: "etc/passwd", text: "root:x:0:0::/:/bin/sh\napp:x:1000:1001::/:/bin/sh\n", mode: 0o644},
		file{name: "etc/group", text: "root:x:0:\nstaff:x:50:\n", mode: 0o644},
		file{name: "out", kind: tar.TypeSymlink, link: "/etc"}, file{name: "up", kind: tar.TypeSymlink, link: "../../../etc"},
		file{name: "loop", kind: tar.TypeSymlink, link: "loop"}))
	return w
}

// push makes an image of layers and gives its reference.
func (w *world) push(repository string, config *v1.Config, layers ...[]byte) string {
	w.t.Helper()
	made := empty.Image
	for _, plain := range layers {
		packed := zipped(w.t, plain)
		l, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(packed)), nil })
		if err != nil {
			w.t.Fatal(err)
		}
		if made, err = mutate.AppendLayers(made, l); err != nil {
			w.t.Fatal(err)
		}
	}
	file, err := made.ConfigFile()
	if err != nil {
		w.t.Fatal(err)
	}
	file = file.DeepCopy()
	file.OS, file.Architecture = "linux", runtime.GOARCH
	if config != nil {
		file.Config = *config
	}
	if made, err = mutate.ConfigFile(made, file); err != nil {
		w.t.Fatal(err)
	}
	reference := w.host + "/" + repository
	ref, err := name.ParseReference(reference)
	if err != nil {
		w.t.Fatal(err)
	}
	if err := remote.Write(ref, made); err != nil {
		w.t.Fatal(err)
	}
	return reference
}

// order is a build of a Dockerfile with other files of the context.
func (w *world) order(dockerfile string, files ...file) image.Order {
	w.t.Helper()
	dockerfile = strings.ReplaceAll(dockerfile, "@base", w.base)
	source := filepath.Join(w.t.TempDir(), "source.tar.gz")
	packed := zipped(w.t, archive(w.t, append([]file{{name: "Dockerfile", text: dockerfile, mode: 0o644}}, files...)...))
	if err := os.WriteFile(source, packed, 0o600); err != nil {
		w.t.Fatal(err)
	}
	return image.Order{Run: "ca1", Source: source, CacheScope: "scope"}
}

// build does an order in this process.
func (w *world) build(order image.Order) (image.Result, string, error) {
	w.t.Helper()
	var lines []string
	result, err := sandboxed.New(w.dir).Build(context.Background(), order, image.Report{Log: func(line string) { lines = append(lines, line) }})
	return result, strings.Join(lines, "\n"), err
}

// must builds, pushes, and gives the image as the registry has it.
func (w *world) must(order image.Order) (v1.Image, image.Result, string) {
	w.t.Helper()
	if len(order.Images) == 0 {
		order.Images = []string{w.host + "/made:1"}
	}
	order.Push = true
	result, text, err := w.build(order)
	if err != nil {
		w.t.Fatalf("%v\n%s", err, text)
	}
	ref, err := name.ParseReference(order.Images[0])
	if err != nil {
		w.t.Fatal(err)
	}
	made, err := remote.Image(ref)
	if err != nil {
		w.t.Fatal(err)
	}
	if digest, err := made.Digest(); err != nil || digest.String() != result.Digest {
		w.t.Fatalf("pushed %s, said %s (%v)", digest, result.Digest, err)
	}
	return made, result, text
}

// files gives what the layers of an image above the base's add up to, by name.
func files(t testing.TB, made v1.Image, below int) map[string]*tar.Header {
	t.Helper()
	layers, err := made.Layers()
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]*tar.Header{}
	for _, l := range layers[below:] {
		stream, err := l.Uncompressed()
		if err != nil {
			t.Fatal(err)
		}
		for r := tar.NewReader(stream); ; {
			h, err := r.Next()
			if err == io.EOF {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			text, err := io.ReadAll(r)
			if err != nil {
				t.Fatal(err)
			}
			if h.PAXRecords == nil {
				h.PAXRecords = map[string]string{}
			}
			h.PAXRecords["text"] = string(text)
			all[strings.TrimSuffix(h.Name, "/")] = h
		}
		_ = stream.Close()
	}
	return all
}

func text(h *tar.Header) string {
	if h == nil {
		return "(absent)"
	}
	return h.PAXRecords["text"]
}
