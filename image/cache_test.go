package image_test

import (
	"archive/tar"
	"bytes"
	"context"
	"io"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/alvara-ml/alvara/image"
	"github.com/alvara-ml/alvara/image/build"
	"github.com/alvara-ml/alvara/image/sandboxed"
)

// What a step depends on makes it run again, and nothing else does.
func TestCache(t *testing.T) {
	w := newWorld(t)
	text := "FROM @base\nARG A=1\nLABEL l=1\nCOPY f /f\nRUN write /a $A\nRUN write /b 1"
	f := file{name: "f", text: "1"}
	if _, r, _ := w.must(w.order(text, f)); r.RunSteps != 3 {
		t.Fatalf("first: %+v", r)
	}
	for name, c := range map[string]struct {
		order   image.Order
		ran     int
		changed func(*image.Order)
	}{
		"same":            {w.order(text, f), 0, nil},
		"unrelated file":  {w.order(text, f, file{name: "other"}), 0, nil},
		"label":           {w.order(strings.Replace(text, "l=1", "l=2", 1), f), 0, nil},
		"content":         {w.order(text, file{name: "f", text: "2"}), 3, nil},
		"mode":            {w.order(text, file{name: "f", text: "1", mode: 0o600}), 3, nil},
		"destination":     {w.order(strings.Replace(text, "/f", "/g", 1), f), 3, nil},
		"last command":    {w.order(text+"0", f), 1, nil},
		"argument":        {w.order(text, f), 2, func(o *image.Order) { o.Arguments = []image.Argument{{Name: "A", Value: "2"}} }},
		"without cache":   {w.order(text, f), 3, func(o *image.Order) { o.NoCache = true }},
		"another's cache": {w.order(text, f), 3, func(o *image.Order) { o.CacheScope = "other" }},
	} {
		t.Run(name, func(t *testing.T) {
			if c.changed != nil {
				c.changed(&c.order)
			}
			if _, r, log := w.must(c.order); r.RunSteps != c.ran {
				t.Errorf("%d steps ran, not %d:\n%s", r.RunSteps, c.ran, log)
			}
		})
	}
}

// The same files give the same digest, whatever the order and times in the archive, the machine's clock, and the cache.
func TestReproducible(t *testing.T) {
	w := newWorld(t)
	seed := uint64(time.Now().UnixNano())
	t.Log("seed", seed)
	random := rand.New(rand.NewPCG(seed, 2))
	all := []file{{name: "Dockerfile", text: "FROM " + w.base + "\nWORKDIR /w\nCOPY . /c\nRUN write /w/x y && mkdir /w/d && ln x /w/l\nRUN find / && rm /w/x && rm /c/d1\n"},
		{name: "a", text: "1"}, {name: "b", text: "2"}, folder("d1/"), {name: "d1/x", text: "3"}, folder("d2/"), {name: "d2/l", kind: tar.TypeSymlink, link: "../a"}}
	var first, firstLog string
	for i := range 5 {
		random.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
		var out bytes.Buffer
		packed := tar.NewWriter(&out)
		for r := tar.NewReader(bytes.NewReader(archive(t, all...))); ; {
			h, err := r.Next()
			if err == io.EOF {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			h.ModTime, h.Uid, h.Uname = time.Unix(random.Int64N(2_000_000_000), 0), random.IntN(5000), "somebody"
			if err := packed.WriteHeader(h); err != nil {
				t.Fatal(err)
			}
			if _, err := io.Copy(packed, r); err != nil {
				t.Fatal(err)
			}
		}
		if err := packed.Close(); err != nil {
			t.Fatal(err)
		}
		order := w.order("FROM scratch")
		if err := os.WriteFile(order.Source, out.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
		order.NoCache = true
		if i > 2 { // another machine, as far as files are concerned
			w.dir = t.TempDir()
		}
		_, r, log := w.must(order)
		_, found, _ := strings.Cut(log, "RUN find")
		found, _, _ = strings.Cut(found, " ---> ")
		_, found, _ = strings.Cut(found, "\n/bin ") // the root's own time is no layer's
		if first == "" {
			first, firstLog = r.Digest, found
		}
		if r.Digest != first || found != firstLog {
			t.Errorf("the build %d made %s, not %s; the command saw\n%s\nand first\n%s", i, r.Digest, first, found, firstLog)
		}
	}
	order := w.order("FROM @base\nCOPY Dockerfile /")
	order.Arguments = []image.Argument{{Name: "SOURCE_DATE_EPOCH", Value: "1000000000"}}
	made, _, _ := w.must(order)
	config, err := made.ConfigFile()
	if h := files(t, made, 1)["Dockerfile"]; err != nil || h.ModTime.Unix() != 1000000000 || config.Created.Unix() != 1000000000 {
		t.Errorf("times: %v %v %v", h, config.Created, err)
	}
}

// Mounts are there for their command, and leave nothing in the image.
func TestMounts(t *testing.T) {
	w := newWorld(t)
	made, _, log := w.must(w.order("FROM @base AS s\nRUN write /made M\nFROM @base\n"+
		"RUN --mount=type=bind,target=/ctx --mount=type=bind,from=s,source=/made,target=/s --mount=type=tmpfs,target=/t --mount=type=cache,target=/c cat /ctx/f /s && write /t/x 1 && write /c/kept K\n"+
		"RUN --mount=type=cache,target=/c cat /c/kept && write /done 1\nRUN <<END\nwrite /h heredoc\nEND\nCOPY <<A /inline\nhello\nA\n", file{name: "f", text: "F"}))
	if !strings.Contains(log, "F\nM\n") || !strings.Contains(log, "\nK\n") {
		t.Errorf("the commands saw other files:\n%s", log)
	}
	got := files(t, made, 1)
	if text(got["done"]) != "1" || text(got["h"]) != "heredoc" || text(got["inline"]) != "hello\n" || len(got) != 3 {
		t.Errorf("the image has %v", got)
	}
}

// P6: what a RUN costs beyond its command.
func BenchmarkRun(b *testing.B) {
	w := newWorld(b)
	order := w.order("FROM @base\n" + strings.Repeat("RUN true\n", 10))
	order.NoCache = true
	if _, log, err := w.build(order); err != nil {
		b.Fatal(err, log)
	}
	b.ResetTimer()
	for range b.N {
		if _, _, err := w.build(order); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Milliseconds())/float64(b.N*10), "ms/RUN")
}

// nothing is a Runner that runs nothing: what is left is the builder's own work.
type nothing struct{}

func (nothing) Run(context.Context, build.Command) (int, error) { return 0, nil }

// BenchmarkRunWithoutSandbox is the builder's share of BenchmarkRun.
func BenchmarkRunWithoutSandbox(b *testing.B) {
	w := newWorld(b)
	order := w.order("FROM @base\n" + strings.Repeat("RUN true\n", 10))
	order.NoCache = true
	local := sandboxed.New(w.dir)
	local.Runner = nothing{}
	for range b.N {
		if _, err := local.Build(context.Background(), order, image.Report{}); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Milliseconds())/float64(b.N*10), "ms/RUN")
}
