package local

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"pgregory.net/rapid"

	"github.com/alvara-ml/alvara/job"
)

// Whatever is written in whatever pieces: the log has all of it, or its beginning, a line that counts what is missing, and its end; and
// what is kept and what is lost is all there was.
func TestLog(t *testing.T) {
	folder := t.TempDir()
	rapid.Check(t, func(t *rapid.T) {
		limit := rapid.Int64Range(job.LeastLogBytes, 3*job.LeastLogBytes).Draw(t, "limit")
		pieces := rapid.SliceOfN(rapid.IntRange(0, 5000), 0, 10).Draw(t, "pieces")
		path := filepath.Join(folder, "log")
		log, err := openLog(path, limit)
		if err != nil {
			t.Fatal(err)
		}
		var all []byte
		for _, length := range pieces {
			piece := make([]byte, length)
			for i := range piece {
				piece[i] = byte('a' + (len(all)+i)%23)
			}
			all = append(all, piece...)
			if n, err := log.Write(piece); n != length || err != nil {
				t.Fatalf("%d of %d: %v", n, length, err)
			}
		}
		kept, lost := log.finish()
		got, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		want, over := all, int64(len(all))-limit
		if over > 0 {
			head, tail := limit-limit/4, limit/4
			want = fmt.Appendf(bytes.Clone(all[:head]), "\n[alvara: %d bytes of output are missing here: the log has reached its limit, or could not be written]\n", over)
			want = append(want, all[int64(len(all))-tail:]...)
		}
		if !bytes.Equal(got, want) || kept+lost != int64(len(all)) || lost != max(0, over) {
			t.Fatalf("limit %d, %d bytes: kept %d, lost %d, %d in the file", limit, len(all), kept, lost, len(got))
		}
	})
}

// A log that cannot be written takes everything and counts it as lost.
func TestLogThatFails(t *testing.T) {
	log, err := openLog("/dev/full", job.LeastLogBytes)
	if err != nil {
		t.Skip(err)
	}
	for range 3 {
		if n, err := log.Write(make([]byte, 4000)); n != 4000 || err != nil {
			t.Errorf("%d %v", n, err)
		}
	}
	if kept, lost := log.finish(); kept != 0 || lost != 12000 {
		t.Errorf("kept %d, lost %d", kept, lost)
	}
}
