// Package laketest is the suite that every driver of lake.Bucket passes, and a bucket that fails on purpose.
package laketest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/alvara-ml/alvara/featurestore/lake"
	"github.com/alvara-ml/alvara/resource"
)

// Run shows that buckets behave as lake.Bucket says. open gives a new, empty bucket.
func Run(t *testing.T, open func(t *testing.T) lake.Bucket) {
	cases := map[string]func(*testing.T, lake.Bucket){
		"what is written is read":                   writtenIsRead,
		"ranges are cut at the end":                 ranges,
		"absent objects are not found":              absent,
		"listing gives the prefix in order":         listing,
		"an error of yield ends a listing":          listingStops,
		"create only when absent":                   createOnce,
		"replace only what was read":                replaceMatching,
		"one of many creators wins":                 creatorsRace,
		"content of another length is not stored":   wrongLength,
		"a reader that fails stores nothing":        failingReader,
		"names that could mean another are refused": badNames,
		"large objects download whole":              download,
		"a cancelled context ends":                  cancelled,
	}
	for name, run := range cases {
		t.Run(name, func(t *testing.T) { run(t, open(t)) })
	}
}

func put(t *testing.T, b lake.Bucket, name, content string) lake.Object {
	t.Helper()
	o, err := b.Write(t.Context(), name, strings.NewReader(content), int64(len(content)), lake.Condition{})
	if err != nil {
		t.Fatalf("write %s: %v", name, err)
	}
	return o
}

func want(t *testing.T, err error, kind resource.Kind) {
	t.Helper()
	if err == nil || resource.KindOf(err) != kind {
		t.Fatalf("got error %v of kind %d, want kind %d", err, resource.KindOf(err), kind)
	}
}

func wantContent(t *testing.T, b lake.Bucket, name, content string) {
	t.Helper()
	got, err := lake.ReadAll(t.Context(), b, name)
	if err != nil || string(got) != content {
		t.Fatalf("%s holds %q (%v), want %q", name, got, err, content)
	}
}

func writtenIsRead(t *testing.T, b lake.Bucket) {
	for _, content := range []string{"", "x", strings.Repeat("feature ", 200_000)} {
		written := put(t, b, "a/b c/ü.txt", content)
		wantContent(t, b, "a/b c/ü.txt", content)
		stat, err := b.Stat(t.Context(), "a/b c/ü.txt")
		if err != nil || stat.Size != int64(len(content)) || stat.ETag == "" || stat.ETag != written.ETag || stat.Modified.IsZero() {
			t.Fatalf("stat gave %+v (%v) after %+v", stat, err, written)
		}
	}
	if _, err := b.Write(t.Context(), "unknown-length", strings.NewReader("abc"), -1, lake.Condition{}); err != nil {
		t.Fatal(err)
	}
	wantContent(t, b, "unknown-length", "abc")
	if err := b.Delete(t.Context(), "a/b c/ü.txt"); err != nil {
		t.Fatal(err)
	}
	_, err := b.Stat(t.Context(), "a/b c/ü.txt")
	want(t, err, resource.NotFound)
}

func ranges(t *testing.T, b lake.Bucket) {
	put(t, b, "r", "0123456789")
	for _, c := range []struct {
		offset, length int64
		want           string
	}{{0, lake.ToEnd, "0123456789"}, {3, 4, "3456"}, {8, 10, "89"}, {9, lake.ToEnd, "9"}, {2, 0, ""}} {
		r, err := b.Read(t.Context(), "r", c.offset, c.length)
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(r)
		if err := errors.Join(err, r.Close()); err != nil || string(got) != c.want {
			t.Fatalf("read %d+%d gave %q (%v), want %q", c.offset, c.length, got, err, c.want)
		}
	}
	_, err := b.Read(t.Context(), "r", 11, 5)
	want(t, err, resource.RangeNotSatisfiable)
}

func absent(t *testing.T, b lake.Bucket) {
	_, err := b.Stat(t.Context(), "no/thing")
	want(t, err, resource.NotFound)
	_, err = b.Read(t.Context(), "no/thing", 0, lake.ToEnd)
	want(t, err, resource.NotFound)
	want(t, b.Delete(t.Context(), "no/thing"), resource.NotFound)
}

func listing(t *testing.T, b lake.Bucket) {
	var all []string
	for i := range 30 {
		name := fmt.Sprintf("list/%02d/x.parquet", (i*7)%30)
		put(t, b, name, strings.Repeat("x", i))
		all = append(all, name)
	}
	put(t, b, "list.other", "o")
	put(t, b, "list/0", "o")
	all = append(all, "list/0")
	slices.Sort(all)
	for prefix, names := range map[string][]string{"list/": all, "list/1": all[11:21], "none/": nil, "list/05/x.parquet": {"list/05/x.parquet"}} {
		var got []string
		err := b.List(t.Context(), prefix, func(o lake.Object) error {
			got = append(got, o.Name)
			stat, err := b.Stat(t.Context(), o.Name)
			if err == nil && (stat.Size != o.Size || stat.ETag != o.ETag) {
				err = fmt.Errorf("listed as %+v, stat says %+v", o, stat)
			}
			return err
		})
		if err != nil || !slices.Equal(got, names) {
			t.Fatalf("list %q gave %q (%v), want %q", prefix, got, err, names)
		}
	}
}

func listingStops(t *testing.T, b lake.Bucket) {
	put(t, b, "a", "")
	put(t, b, "b", "")
	stop, calls := errors.New("enough"), 0
	err := b.List(t.Context(), "", func(lake.Object) error { calls++; return stop })
	if !errors.Is(err, stop) || calls != 1 {
		t.Fatalf("got %v after %d calls", err, calls)
	}
}

func createOnce(t *testing.T, b lake.Bucket) {
	once := lake.Condition{IfNoneMatch: true}
	if _, err := b.Write(t.Context(), "v1", strings.NewReader("first"), 5, once); err != nil {
		t.Fatal(err)
	}
	_, err := b.Write(t.Context(), "v1", strings.NewReader("second"), 6, once)
	want(t, err, resource.PreconditionFailed)
	wantContent(t, b, "v1", "first")
}

func replaceMatching(t *testing.T, b lake.Bucket) {
	first := put(t, b, "m", "1")
	second, err := b.Write(t.Context(), "m", strings.NewReader("2"), 1, lake.Condition{IfMatch: first.ETag})
	if err != nil {
		t.Fatal(err)
	}
	if second.ETag == first.ETag {
		t.Fatal("the ETag did not change")
	}
	_, err = b.Write(t.Context(), "m", strings.NewReader("3"), 1, lake.Condition{IfMatch: first.ETag})
	want(t, err, resource.PreconditionFailed)
	wantContent(t, b, "m", "2")
}

func creatorsRace(t *testing.T, b lake.Bucket) {
	var winners atomic.Int64
	var winner atomic.Value
	var group sync.WaitGroup
	for i := range 8 {
		group.Go(func() {
			content := fmt.Sprint(i)
			_, err := b.Write(t.Context(), "race", strings.NewReader(content), 1, lake.Condition{IfNoneMatch: true})
			if err == nil {
				winners.Add(1)
				winner.Store(content)
			} else if resource.KindOf(err) != resource.PreconditionFailed {
				t.Errorf("creator %d: %v", i, err)
			}
		})
	}
	group.Wait()
	if winners.Load() != 1 {
		t.Fatalf("%d creators won", winners.Load())
	}
	wantContent(t, b, "race", winner.Load().(string))
}

func wrongLength(t *testing.T, b lake.Bucket) {
	put(t, b, "w", "before")
	for _, size := range []int64{2, 4} {
		_, err := b.Write(t.Context(), "w", strings.NewReader("abc"), size, lake.Condition{})
		want(t, err, resource.Invalid)
	}
	wantContent(t, b, "w", "before")
}

func failingReader(t *testing.T, b lake.Bucket) {
	broken := errors.New("the disk is broken")
	r := io.MultiReader(bytes.NewReader(make([]byte, 100_000)), failing{broken})
	_, err := b.Write(t.Context(), "f", r, 200_000, lake.Condition{})
	if !errors.Is(err, broken) {
		t.Fatalf("got %v", err)
	}
	_, err = b.Stat(t.Context(), "f")
	want(t, err, resource.NotFound)
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

func badNames(t *testing.T, b lake.Bucket) {
	for _, name := range []string{"", "/a", "a/", "a//b", "../a", "a/../b", ".", "a\x00b", "a\\b", strings.Repeat("n", 1025)} {
		_, err := b.Write(t.Context(), name, strings.NewReader(""), 0, lake.Condition{})
		want(t, err, resource.Invalid)
		_, err = b.Stat(t.Context(), name)
		want(t, err, resource.Invalid)
		_, err = b.Read(t.Context(), name, 0, lake.ToEnd)
		want(t, err, resource.Invalid)
		want(t, b.Delete(t.Context(), name), resource.Invalid)
	}
}

func download(t *testing.T, b lake.Bucket) {
	content := make([]byte, 20<<20)
	for i := range content {
		content[i] = byte(i >> 10 * i)
	}
	if _, err := b.Write(t.Context(), "large", bytes.NewReader(content), int64(len(content)), lake.Condition{}); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "large")
	if _, err := lake.Download(t.Context(), b, "large", path); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(path)
	if err != nil || !bytes.Equal(got, content) {
		t.Fatalf("the downloaded file differs (%v)", err)
	}
	_, err = lake.Download(t.Context(), b, "absent", path+"2")
	want(t, err, resource.NotFound)
	if left, _ := filepath.Glob(path + "2*"); len(left) != 0 {
		t.Fatalf("a failed download left %q", left)
	}
}

func cancelled(t *testing.T, b lake.Bucket) {
	put(t, b, "c", "1")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := b.Stat(ctx, "c"); !errors.Is(err, context.Canceled) {
		t.Fatalf("stat gave %v", err)
	}
	if _, err := b.Write(ctx, "c", strings.NewReader("2"), 1, lake.Condition{}); !errors.Is(err, context.Canceled) {
		t.Fatalf("write gave %v", err)
	}
	wantContent(t, b, "c", "1")
}
