package sqlite_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/alvara-ml/alvara/store"
	"github.com/alvara-ml/alvara/store/sqlite"
)

// crashPath, when it is set, makes the test binary a process that writes until it is killed.
const crashPath = "ALVARA_STORE_CRASH_PATH"

func TestMain(m *testing.M) {
	if path := os.Getenv(crashPath); path != "" {
		writeForever(path)
	}
	os.Exit(m.Run())
}

// writeForever applies batches of two documents and a job, and prints the name of each that is acknowledged.
func writeForever(path string) {
	s, err := sqlite.Open(context.Background(), path)
	if err != nil {
		panic(err)
	}
	for g := range 4 {
		go func() {
			for i := 0; ; i++ {
				name := fmt.Sprintf("%d/%d/%d", os.Getpid(), g, i)
				body, _ := json.Marshal(name)
				_, err := s.Apply(context.Background(),
					store.Put{Key: "/a/" + name, Kind: "a", Body: body, IfMatch: store.None},
					store.Enqueue{Kind: "j", Body: body},
					store.Put{Key: "/b/" + name, Kind: "b", Body: body, IfMatch: store.None})
				if err != nil {
					panic(err)
				}
				if _, err := os.Stdout.WriteString(name + "\n"); err != nil {
					panic(err)
				}
			}
		}()
	}
	select {}
}

// TestCrash kills processes that write at random moments: what was acknowledged is there, every batch is whole, jobs
// included, and the lock is free for the next process.
func TestCrash(t *testing.T) {
	rounds := 20
	if testing.Short() {
		rounds = 4
	}
	folder := t.TempDir()
	path := filepath.Join(folder, "store.db")
	told := map[string]bool{}
	for range rounds {
		child := exec.Command(os.Args[0])
		child.Env = append(os.Environ(), crashPath+"="+path)
		var faults bytes.Buffer
		child.Stderr = &faults
		out, err := child.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := child.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewReader(out)
		if _, err := lines.Peek(1); err != nil {
			t.Fatalf("the process wrote nothing: %v\n%s", err, &faults)
		}
		time.AfterFunc(time.Duration(rand.IntN(30_000))*time.Microsecond, func() { _ = child.Process.Kill() })
		for {
			line, err := lines.ReadString('\n')
			if err != nil {
				break // half a line was not told
			}
			told[strings.TrimSuffix(line, "\n")] = true
		}
		_ = child.Wait()
		if faults.Len() > 0 {
			t.Fatalf("%s", &faults)
		}
	}

	s := open(t, folder)
	defer s.Close(context.Background())
	a, b := names(t, s, "a"), names(t, s, "b")
	for name := range told {
		if !a[name] {
			t.Errorf("%s was acknowledged and is not there", name)
		}
	}
	for name := range a {
		if !b[name] {
			t.Errorf("half of %s is there", name)
		}
	}
	if len(a) != len(b) {
		t.Errorf("%d first halves, %d second ones", len(a), len(b))
	}
	ran := make(chan string, len(a)+1)
	s.Work("j", 8, func(_ context.Context, job store.Job) error {
		var name string
		err := json.Unmarshal(job.Body, &name)
		ran <- name
		return err
	})
	if err := s.Start(context.Background()); err != nil {
		t.Fatal(err)
	}
	for range len(a) {
		select {
		case name := <-ran:
			if !a[name] {
				t.Errorf("job %s ran twice, or without its documents", name)
			}
			delete(a, name)
		case <-time.After(20 * time.Second):
			t.Fatalf("%d jobs are missing", len(a))
		}
	}
	t.Logf("%d batches acknowledged, %d there, %d rounds", len(told), len(b), rounds)
}

// names are the bodies of a kind's documents.
func names(t *testing.T, s store.Store, kind string) map[string]bool {
	t.Helper()
	documents, err := s.List(context.Background(), store.Query{Kind: kind})
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]bool{}
	for _, d := range documents {
		var name string
		if err := json.Unmarshal(d.Body, &name); err != nil {
			t.Fatal(err)
		}
		all[name] = true
	}
	return all
}
