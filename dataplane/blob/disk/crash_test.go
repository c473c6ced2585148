package disk_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"math/rand"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/alvara-ml/alvara/dataplane/blob"
	"github.com/alvara-ml/alvara/dataplane/blob/disk"
	"github.com/alvara-ml/alvara/resource"
)

const childEnv = "ALVARA_BLOB_CRASH_CHILD"

func TestMain(m *testing.M) {
	if dir := os.Getenv(childEnv); dir != "" {
		child(dir)
	}
	os.Exit(m.Run())
}

// content gives bytes that tell which write they belong to.
func content(name string, version int) []byte {
	r := rand.New(rand.NewSource(int64(crc32.ChecksumIEEE(fmt.Appendf(nil, "%s %d", name, version)))))
	out := make([]byte, 1+r.Intn(200_000))
	r.Read(out)
	return append(out, fmt.Sprintf("|%s|%d", name, version)...)
}

// child writes for ever. It says "begin name version" before each write and "done name version" when it has returned.
func child(dir string) {
	s, err := disk.Open(disk.Options{Dir: dir})
	if err != nil {
		fmt.Println("error", err)
		os.Exit(1)
	}
	ctx := context.Background()
	for worker := range 4 {
		go func() {
			for i := 0; ; i++ {
				name := fmt.Sprintf("w%d/%d", worker, i%5)
				version := int(time.Now().UnixNano())
				fmt.Println("begin", name, version)
				if err := childWrite(ctx, s, name, version, i%3 == 2); err != nil {
					fmt.Println("error", err)
					os.Exit(1)
				}
				fmt.Println("done", name, version)
			}
		}()
	}
	select {}
}

func childWrite(ctx context.Context, s *disk.Store, name string, version int, inBlocks bool) error {
	body := content(name, version)
	decide := func(*blob.Object) (blob.Object, error) {
		return blob.Object{Kind: blob.BlockBlob, Metadata: map[string]string{"version": fmt.Sprint(version)}}, nil
	}
	draft := func(part []byte) (blob.Draft, error) {
		d, err := s.Draft(ctx)
		if err == nil {
			_, err = d.Write(part)
		}
		return d, err
	}
	if !inBlocks {
		d, err := draft(body)
		if err == nil {
			_, err = s.Put(ctx, "c", name, d, decide)
		}
		return err
	}
	var refs []blob.BlockRef
	half := len(body) / 2
	for i, part := range [][]byte{body[:half], body[half:]} {
		if len(part) == 0 {
			continue
		}
		d, err := draft(part)
		if err == nil {
			err = s.Stage(ctx, "c", name, fmt.Sprint(i), d)
		}
		if err != nil {
			return err
		}
		refs = append(refs, blob.BlockRef{ID: fmt.Sprint(i), From: blob.Uncommitted})
	}
	_, err := s.PutBlocks(ctx, "c", name, refs, decide)
	return err
}

// TestKill: whatever moment the process is killed at, each acknowledged blob is there and whole, no blob is a mixture,
// and no file is left that nobody owns.
func TestKill(t *testing.T) {
	rounds := 12
	if testing.Short() {
		rounds = 3
	}
	dir := t.TempDir()
	seed := time.Now().UnixNano()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewSource(seed))
	acknowledged := map[string]int{} // the newest version of each name that was
	begun := map[string]int{}
	total := 0
	for range rounds {
		total += runChild(t, dir, time.Duration(30+random.Intn(250))*time.Millisecond, acknowledged, begun)
		s := open(t, disk.Options{Dir: dir})
		verify(t, s, acknowledged, begun)
		owned := 0
		page, err := s.List(t.Context(), "c", blob.ListQuery{Limit: 1000})
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range page.Entries {
			o, err := s.Head(t.Context(), "c", e.Object.Name)
			if err != nil {
				t.Fatal(err)
			}
			owned += len(o.Blocks)
			staged, err := s.Staged(t.Context(), "c", e.Object.Name)
			if err != nil {
				t.Fatal(err)
			}
			owned += len(staged)
		}
		for name := range begun { // blocks of names that were never committed
			if _, err := s.Head(t.Context(), "c", name); resource.KindOf(err) == resource.NotFound && err != nil {
				staged, err := s.Staged(t.Context(), "c", name)
				if err != nil {
					t.Fatal(err)
				}
				owned += len(staged)
			}
		}
		if n := files(t, dir); n != owned {
			t.Fatalf("%d files are there, %d are owned", n, owned)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if total == 0 {
		t.Fatal("no write was acknowledged in any round")
	}
	t.Logf("%d writes were acknowledged", total)
}

// runChild lets a child write for a while, kills it, and notes what it said.
func runChild(t *testing.T, dir string, after time.Duration, acknowledged, begun map[string]int) int {
	t.Helper()
	command := exec.Command(os.Args[0])
	command.Env = append(os.Environ(), childEnv+"="+dir)
	out, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	count := 0
	var once bool
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if !once { // the clock starts when it writes
			once = true
			time.AfterFunc(after, func() { _ = command.Process.Kill() })
		}
		var word, name string
		var version int
		if n, _ := fmt.Sscan(lines.Text(), &word, &name, &version); n != 3 {
			if strings.HasPrefix(lines.Text(), "error") {
				t.Fatal(lines.Text())
			}
			continue // cut off by the kill
		}
		switch word {
		case "begin":
			begun[name] = version
		case "done":
			acknowledged[name], count = version, count+1
		}
	}
	_ = command.Wait() // killed
	return count
}

func verify(t *testing.T, s *disk.Store, acknowledged, begun map[string]int) {
	t.Helper()
	for name := range begun {
		o, r, err := s.Open(t.Context(), "c", name)
		if err != nil {
			if _, ok := acknowledged[name]; ok || resource.KindOf(err) != resource.NotFound {
				t.Fatalf("%s is gone: %v", name, err)
			}
			continue
		}
		body, err := io.ReadAll(r)
		if err := errors.Join(err, r.Close()); err != nil {
			t.Fatal(err)
		}
		var version int
		if _, err := fmt.Sscan(o.Metadata["version"], &version); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(body, content(name, version)) {
			t.Fatalf("%s is not what version %d wrote", name, version)
		}
		if version != acknowledged[name] && version != begun[name] {
			t.Fatalf("%s has version %d; %d was acknowledged last, %d begun", name, version, acknowledged[name], begun[name])
		}
		// What a restart has shown must stay, acknowledged or not, until something newer is written.
		acknowledged[name] = version
	}
}

// files counts the files that hold bytes.
func files(t *testing.T, dir string) int {
	t.Helper()
	n := 0
	err := filepath.WalkDir(filepath.Join(dir, "files"), func(_ string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			n++
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}
