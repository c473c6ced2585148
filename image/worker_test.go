package image_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/alvara-ml/alvara/identity"
	"github.com/alvara-ml/alvara/image"
	"github.com/alvara-ml/alvara/resource"
)

func process(w *world) *image.Process {
	return &image.Process{Dir: filepath.Join(w.dir, "data"), ScratchDir: filepath.Join(w.dir, "scratch"), Identity: "http://127.0.0.1:1", Runs: identity.NewRuns()}
}

// Ten builds at once, each in a process of its own, share layers; each is what it would be alone.
func TestManyProcesses(t *testing.T) {
	w := newWorld(t)
	p := process(w)
	results := make([]image.Result, 10)
	var group sync.WaitGroup
	for i := range results {
		group.Go(func() {
			order := w.order(fmt.Sprintf("FROM @base AS a\nRUN write /common x\nFROM a\nRUN write /own %d", i%2))
			var err error
			if results[i], err = p.Build(context.Background(), order, image.Report{}); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	for i, r := range results {
		if r.Digest != results[i%2].Digest || r.Digest == results[(i+1)%2].Digest {
			t.Errorf("the build %d made %s", i, r.Digest)
		}
	}
	layers, err := os.ReadDir(filepath.Join(p.Dir, "layers", "layers"))
	if err != nil || len(layers) != 4 {
		t.Errorf("%d layers lie unpacked, not 4 (%v)", len(layers), err)
	}
	if err := p.Clean(); err != nil {
		t.Fatal(err)
	}
	if left, err := os.ReadDir(filepath.Join(p.Dir, "layers", "tmp")); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v (%v)", left, err)
	}
}

// Builds that are called off at any moment, which kills their process, leave no half layer: what is built afterwards is right.
func TestKilled(t *testing.T) {
	w := newWorld(t)
	seed := uint64(time.Now().UnixNano())
	t.Log("seed", seed)
	random := rand.New(rand.NewPCG(seed, 1))
	clean, err := process(newWorld(t)).Build(context.Background(), w.order("FROM @base\nRUN write /a 1\nCOPY f /f\nRUN write /b 2", file{name: "f", text: strings.Repeat("x", 1<<20)}), image.Report{})
	if err != nil {
		t.Fatal(err)
	}
	p := process(w)
	rounds := 8
	if testing.Short() {
		rounds = 3
	}
	for range rounds {
		ctx, cancel := context.WithTimeout(context.Background(), time.Duration(50+random.IntN(900))*time.Millisecond)
		order := w.order("FROM @base\nRUN write /a 1\nCOPY f /f\nRUN write /b 2", file{name: "f", text: strings.Repeat("x", 1<<20)})
		order.NoCache = random.IntN(2) == 0
		got, err := p.Build(ctx, order, image.Report{})
		cancel()
		if err == nil && got.Digest != clean.Digest || err != nil && err != context.DeadlineExceeded {
			t.Errorf("%s %v; want %s or the end of the time", got.Digest, err, clean.Digest)
		}
	}
	if err := p.Clean(); err != nil {
		t.Fatal(err)
	}
	for _, noCache := range []bool{false, true} {
		order := w.order("FROM @base\nRUN write /a 1\nCOPY f /f\nRUN write /b 2", file{name: "f", text: strings.Repeat("x", 1<<20)})
		order.NoCache = noCache
		got, err := p.Build(context.Background(), order, image.Report{})
		if err != nil || got.Digest != clean.Digest {
			t.Errorf("after kills: %s %v; want %s", got.Digest, err, clean.Digest)
		}
	}
	if out, err := exec.Command("sh", "-c", "grep -c "+w.dir+" /proc/mounts").Output(); err == nil {
		t.Errorf("%s mounts are left", out)
	}
}

// Errors come back from the process with their kind, and the log as it is written.
func TestProcessErrors(t *testing.T) {
	w := newWorld(t)
	var lines []string
	_, err := process(w).Build(context.Background(), w.order("FROM @base\nRUN echo before && fail"), image.Report{Log: func(line string) { lines = append(lines, line) }})
	e, ok := resource.AsError(err)
	if !ok || e.Kind != resource.Invalid || !strings.Contains(e.Message, "returned a non-zero code: 7") || !strings.Contains(e.Message, "line 2") {
		t.Errorf("error %v", err)
	}
	if log := strings.Join(lines, "\n"); !strings.Contains(log, "Step 2/2 : RUN") || !strings.Contains(log, "\nbefore") {
		t.Errorf("log:\n%s", log)
	}
	order := w.order("FROM @base")
	order.Credentials = map[string]image.Credential{w.host: {ClientID: "x"}}
	if _, err := process(w).Build(context.Background(), order, image.Report{}); resource.KindOf(err) != resource.Invalid {
		t.Errorf("an identity without an object id: %v", err)
	}
	order.CacheScope = "../other"
	if _, err := process(w).Build(context.Background(), order, image.Report{}); resource.KindOf(err) != resource.Invalid {
		t.Errorf("a scope that is a path: %v", err)
	}
}
