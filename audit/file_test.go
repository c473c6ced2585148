package audit

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

var noon = time.Date(2030, 1, 2, 12, 0, 0, 0, time.UTC)

func open(t testing.TB, path string, options ...Option) *File {
	t.Helper()
	f, err := OpenFile(path, func() time.Time { return noon }, options...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	return f
}

func record(t testing.TB, l Log, action string) {
	t.Helper()
	if err := l.Record(context.Background(), Record{Plane: "blob", Action: action, Scope: "/a", Reason: "because"}); err != nil {
		t.Fatal(err)
	}
}

// actions are the actions of a log's records, oldest first.
func actions(t testing.TB, path string) []string {
	t.Helper()
	records, err := Read(path, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, r := range slices.Backward(records) {
		names = append(names, r.Action)
	}
	return names
}

func numbers(from, to int) []string {
	var names []string
	for i := from; i <= to; i++ {
		names = append(names, fmt.Sprint(i))
	}
	return names
}

// TestFile (BX-06) writes, closes, and goes on where it was, over several segments.
func TestFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.log")
	for round := range 4 {
		f := open(t, path, WithSegmentBytes(1000), WithSync())
		for i := range 5 {
			record(t, f, fmt.Sprint(round*5+i+1))
		}
		if seq, hash := f.Head(); seq != uint64(round*5+5) || hash == (Hash{}) {
			t.Errorf("head is %d, %v", seq, hash)
		}
		if err := Verify(path); err != nil {
			t.Error(err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		if err := f.Record(context.Background(), Record{}); err == nil {
			t.Error("a closed log takes records")
		}
		if err := f.Close(); err != nil {
			t.Errorf("a second Close: %v", err)
		}
	}
	if got := actions(t, path); !slices.Equal(got, numbers(1, 20)) {
		t.Errorf("got %v", got)
	}
	segments, err := segments(path)
	if err != nil || len(segments) < 3 {
		t.Errorf("segments are %v, %v", segments, err)
	}
	for _, n := range segments {
		info, err := os.Stat(segmentPath(path, n))
		if err != nil || info.Mode().Perm() != 0o600 || info.Size() > 1000 {
			t.Errorf("segment %d: %v, %v", n, info, err)
		}
	}
	records, _ := Read(path, nil, 1)
	if !records[0].Time.Equal(noon) {
		t.Errorf("a record without a time has %v", records[0].Time)
	}
}

func TestRead(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.log")
	if _, err := Read(path, nil, 0); err == nil {
		t.Error("an absent log was read")
	}
	if err := Verify(path); err == nil {
		t.Error("an absent log was verified")
	}
	f := open(t, path, WithSegmentBytes(2000))
	if err := Verify(path); err != nil {
		t.Errorf("an empty log: %v", err)
	}
	for i := range 50 {
		record(t, f, fmt.Sprint(i))
	}
	even := func(r Record) bool { return strings.HasSuffix(r.Action, "2") }
	records, err := Read(path, even, 3)
	if err != nil || len(records) != 3 || records[0].Action != "42" || records[1].Action != "32" || records[2].Action != "22" {
		t.Errorf("got %+v, %v", records, err)
	}
	if records, err := Read(path, even, 0); err != nil || len(records) != 5 {
		t.Errorf("got %d, %v", len(records), err)
	}
}

// TestLongLines reads records far longer than the blocks that files are read in.
func TestLongLines(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.log")
	f := open(t, path)
	for i, size := range []int{1, 300_000, 65_536, 10, 65_000, 1 << 20, 5} {
		err := f.Record(context.Background(), Record{Plane: "p", Action: fmt.Sprint(i + 1), Scope: strings.Repeat("s", size)})
		if err != nil {
			t.Fatal(err)
		}
	}
	if got := actions(t, path); !slices.Equal(got, numbers(1, 7)) {
		t.Errorf("got %v", got)
	}
	if err := Verify(path); err != nil {
		t.Error(err)
	}
}

// TestConcurrent has many record at a time, while others verify and read what is there.
func TestConcurrent(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.log")
	f := open(t, path, WithSegmentBytes(20_000))
	const goroutines, each = 20, 50
	var all sync.WaitGroup
	for g := range goroutines {
		all.Go(func() {
			for i := range each {
				record(t, f, fmt.Sprintf("%d/%d", g, i))
			}
		})
	}
	for range 2 {
		all.Go(func() {
			for range 10 {
				if err := Verify(path); err != nil {
					t.Error(err)
				}
				if _, err := Read(path, nil, 10); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	last := map[string]int{}
	for _, action := range actions(t, path) {
		var g string
		var i int
		if _, err := fmt.Sscanf(strings.Replace(action, "/", " ", 1), "%s %d", &g, &i); err != nil || i != last[g] {
			t.Fatalf("%q after %d of its goroutine (%v)", action, last[g]-1, err)
		}
		last[g]++
	}
	if len(last) != goroutines {
		t.Errorf("records of %d goroutines", len(last))
	}
	if err := Verify(path); err != nil {
		t.Error(err)
	}
}

func TestOneServer(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.log")
	f := open(t, path)
	if _, err := OpenFile(path, time.Now); err == nil || !strings.Contains(err.Error(), "in use") {
		t.Errorf("opened twice: %v", err)
	}
	_ = f.Close()
	open(t, path)
}

// TestTorn ends a log the ways a crash can and opens it again.
func TestTorn(t *testing.T) {
	for name, tail := range map[string]string{
		"half a record": `{"seq":4,"prev":"00`, "no newline": "x", "zeros": strings.Repeat("\x00", 5000), "a whole line of dirt": "dirt\n", "lines of dirt": "a\n\nb\nc",
		"a record cut in two lines": `{"seq":4,` + "\n" + `"prev":`,
	} {
		t.Run(name, func(t *testing.T) {
			for _, before := range []int{0, 3, 10} { // 10 records: the file has been rotated
				path := filepath.Join(t.TempDir(), "audit.log")
				f := open(t, path, WithSegmentBytes(700))
				for i := range before {
					record(t, f, fmt.Sprint(i+1))
				}
				_ = f.Close()
				if err := appendTo(path, tail); err != nil {
					t.Fatal(err)
				}
				if err := Verify(path); err == nil {
					t.Error("dirt was verified")
				}
				f = open(t, path)
				record(t, f, fmt.Sprint(before+1))
				if err := Verify(path); err != nil {
					t.Error(err)
				}
				want := append(append(numbers(1, before), "recover"), fmt.Sprint(before+1))
				if got := actions(t, path); !slices.Equal(got, want) {
					t.Errorf("got %v, want %v", got, want)
				}
				if aside, err := os.ReadFile(path + ".torn-1"); err != nil || string(aside) != tail {
					t.Errorf("set aside: %q, %v", aside, err)
				}
				_ = f.Close()
				if f = open(t, path); fmt.Sprint(f.seq) != fmt.Sprint(before+2) {
					t.Errorf("the next open is at %d", f.seq)
				}
			}
		})
	}
}

// TestRotationCutShort opens a log whose server died between making the file a segment and beginning a new one.
func TestRotationCutShort(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.log")
	f := open(t, path)
	record(t, f, "1")
	_ = f.Close()
	if err := os.Rename(path, segmentPath(path, 1)); err != nil {
		t.Fatal(err)
	}
	if err := Verify(path); err != nil {
		t.Error(err)
	}
	f = open(t, path)
	record(t, f, "2")
	if err := Verify(path); err != nil {
		t.Error(err)
	}
	if got := actions(t, path); !slices.Equal(got, numbers(1, 2)) {
		t.Errorf("got %v", got)
	}
}

// TestDiskFull shows that a record that can't be written is refused, and so are all after it once the file is in doubt.
func TestDiskFull(t *testing.T) {
	f := open(t, filepath.Join(t.TempDir(), "audit.log"))
	record(t, f, "1")
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Skip("there is no /dev/full here")
	}
	whole := f.file
	f.file = full
	if err := f.Record(context.Background(), Record{Action: "2"}); err == nil {
		t.Error("a record was written to a full disk")
	}
	f.file = whole
	if err := f.Record(context.Background(), Record{Action: "3"}); err == nil {
		t.Error("a record was written after one that may be there in part")
	}
	if got := actions(t, f.path); !slices.Equal(got, numbers(1, 1)) {
		t.Errorf("got %v", got)
	}
	_ = full.Close()
}

func appendTo(path, text string) error {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	_, err = file.WriteString(text)
	return errors.Join(err, file.Close())
}

// TestTampering (BX-06) changes logs the ways someone with access to the files could, and has Verify name the place.
func TestTampering(t *testing.T) {
	lines := func(b []byte) [][]byte { return bytes.SplitAfter(b, []byte("\n")) }
	join := func(l [][]byte) []byte { return bytes.Join(l, nil) }
	for name, c := range map[string]struct {
		file   string // "" for the newest file, else the suffix
		change func([]byte) []byte
		seq    uint64
	}{
		"a word changed":       {".000002", func(b []byte) []byte { return bytes.Replace(b, []byte(`"action":"8"`), []byte(`"action":"9"`), 1) }, 8},
		"a decision turned":    {"", func(b []byte) []byte { return bytes.Replace(b, []byte(`"allowed":false`), []byte(`"allowed":true`), 1) }, 11},
		"its hash recomputed":  {".000001", func(b []byte) []byte { return rehash(lines(b), 1) }, 3},
		"the first removed":    {".000001", func(b []byte) []byte { return join(lines(b)[1:]) }, 1},
		"one removed":          {".000002", func(b []byte) []byte { return join(slices.Delete(lines(b), 1, 2)) }, 7},
		"two exchanged":        {".000001", func(b []byte) []byte { l := lines(b); l[1], l[2] = l[2], l[1]; return join(l) }, 2},
		"one copied":           {".000001", func(b []byte) []byte { l := lines(b); return join(slices.Insert(l, 2, l[1])) }, 3},
		"one inserted":         {"", func(b []byte) []byte { l := lines(b); return join(slices.Insert(l, 1, forged(l[0]))) }, 13},
		"an empty line":        {"", func(b []byte) []byte { return append([]byte("\n"), b...) }, 11},
		"a segment's end cut":  {".000001", func(b []byte) []byte { l := lines(b); return join(l[:4]) }, 5},
		"a segment cut inside": {".000001", func(b []byte) []byte { return b[:len(b)-20] }, 5},
		"a segment emptied":    {".000002", func([]byte) []byte { return nil }, 6},
		"a segment removed":    {".000001", nil, 1},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "audit.log")
			f := open(t, path)
			for i := range 15 {
				if i == 5 || i == 10 {
					f.segment = 1 // the next write begins a file
				}
				record(t, f, fmt.Sprint(i+1))
				f.segment = 1 << 20
			}
			_ = f.Close()
			if err := Verify(path); err != nil {
				t.Fatal(err)
			}
			if c.change == nil {
				if err := os.Remove(path + c.file); err != nil {
					t.Fatal(err)
				}
			} else {
				before, err := os.ReadFile(path + c.file)
				if err != nil {
					t.Fatal(err)
				}
				after := c.change(bytes.Clone(before))
				if bytes.Equal(before, after) {
					t.Fatal("nothing was changed")
				}
				if err := os.WriteFile(path+c.file, after, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			var broken *Broken
			if err := Verify(path); !errors.As(err, &broken) || broken.Seq != c.seq {
				t.Errorf("got %v, want record %d", err, c.seq)
			}
		})
	}
}

// rehash changes line i and gives it the hash that fits: its successor gives it away.
func rehash(lines [][]byte, i int) []byte {
	e, _ := parseLine(bytes.TrimSuffix(lines[i], []byte("\n")))
	e.Allowed = !e.Allowed
	prev, _ := hex.DecodeString(e.Prev)
	lines[i], _ = appendLine(nil, e.Seq, Hash(prev), appendFields(nil, &e.Record))
	return bytes.Join(lines, nil)
}

// forged is a record that continues the chain after a line.
func forged(line []byte) []byte {
	e, _ := parseLine(bytes.TrimSuffix(line, []byte("\n")))
	forged, _ := appendLine(nil, e.Seq+1, e.hash, appendFields(nil, &Record{Time: noon, Plane: "blob", Action: "forged", Allowed: true}))
	return forged
}

func BenchmarkRecord(b *testing.B) {
	r := Record{
		Time: noon, RequestID: "5f0c1b1e-8a3e-4b61-9a0e-1d3a2b4c5d6e", Plane: "resourceManager", Principal: "0b6c8f9e-1111-2222-3333-444455556666",
		Name: "ana@example.org", Action: "Microsoft.Storage/storageAccounts/blobServices/containers/blobs/read",
		Scope:   "/subscriptions/s/resourceGroups/g/providers/Microsoft.Storage/storageAccounts/a/blobServices/default/containers/c",
		Target:  "path/to/blob.parquet",
		Allowed: true, Assignment: "9d1f7a52-aaaa-bbbb-cccc-ddddeeeeffff", Role: "Storage Blob Data Reader", Client: "10.0.0.1",
	}
	for _, writers := range []int{1, 32, 512} {
		b.Run(fmt.Sprint(writers), func(b *testing.B) {
			f := open(b, filepath.Join(b.TempDir(), "audit.log"))
			before := cpu()
			var all sync.WaitGroup
			for w := range writers {
				all.Go(func() {
					for i := w; i < b.N; i += writers {
						if err := f.Record(context.Background(), r); err != nil {
							b.Error(err)
						}
					}
				})
			}
			all.Wait()
			b.ReportMetric(float64((cpu()-before).Nanoseconds())/float64(b.N), "cpu-ns/op")
		})
	}
}
