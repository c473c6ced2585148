package pebble_test

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/alvara-ml/alvara/featurestore/online"
	"github.com/alvara-ml/alvara/featurestore/online/onlinetest"
	"github.com/alvara-ml/alvara/featurestore/online/pebble"
)

func open(t testing.TB, folder string) *pebble.Store {
	t.Helper()
	s, err := pebble.Open(folder, pebble.Options{MemTableBytes: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestStore(t *testing.T) {
	onlinetest.Run(t, func(t *testing.T) online.Store {
		s := open(t, t.TempDir())
		t.Cleanup(func() {
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		})
		return s
	})
}

func TestReopenKeepsTables(t *testing.T) {
	folder := t.TempDir()
	schema := onlinetest.Schema(t)
	event := time.Unix(1_750_000_000, 0)
	s := open(t, folder)
	for _, table := range []string{"a", "b"} {
		if err := s.Create(t.Context(), table, schema); err != nil {
			t.Fatal(err)
		}
		batch := online.Batch{Rows: []online.Row{onlinetest.Row(t, schema, "x", 1, event, table)}, Run: 1}
		if err := s.Put(t.Context(), table, batch); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.DropTable(t.Context(), "b"); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, folder)
	defer s.Close()
	for _, table := range []string{"b", "c"} { // a new table never takes over rows of a dropped one
		if err := s.Create(t.Context(), table, schema); err != nil {
			t.Fatal(err)
		}
		if stats, err := s.Stats(t.Context(), table); err != nil || stats.Rows != 0 {
			t.Fatalf("%s has %+v (%v)", table, stats, err)
		}
	}
	if got, err := s.Schema(t.Context(), "a"); err != nil || !got.Equal(schema) {
		t.Fatalf("schema is %v (%v)", got, err)
	}
	if stats, err := s.Stats(t.Context(), "a"); err != nil || stats.Rows != 1 {
		t.Fatalf("a has %+v (%v)", stats, err)
	}
}

// The environment variable that makes the test binary the process that is killed.
const childFolder = "ALVARA_TEST_PEBBLE_CHILD"

func TestMain(m *testing.M) {
	if folder := os.Getenv(childFolder); folder != "" {
		child(folder)
	}
	os.Exit(m.Run())
}

// child puts batches until it is killed, and prints the number of each batch that was acknowledged.
func child(folder string) {
	ctx, t := context.Background(), &testing.B{}
	s, err := pebble.Open(folder, pebble.Options{MemTableBytes: 1 << 20})
	if err != nil {
		panic(err)
	}
	schema := onlinetest.Schema(t)
	if err := s.Create(ctx, "t", schema); err != nil {
		panic(err)
	}
	for n := 0; ; n++ {
		var rows []online.Row
		for i := range 50 {
			rows = append(rows, onlinetest.Row(t, schema, "x", int64(n*50+i), time.Unix(int64(n), 0), "row"))
		}
		if err := s.Put(ctx, "t", online.Batch{Rows: rows, Run: 1}); err != nil {
			panic(err)
		}
		fmt.Println(n)
	}
}

func TestAcknowledgedBatchesSurviveKill(t *testing.T) {
	folder := t.TempDir()
	for round := range 3 {
		command := exec.Command(os.Args[0])
		command.Env = append(os.Environ(), childFolder+"="+folder)
		command.Stderr = os.Stderr
		output, err := command.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := command.Start(); err != nil {
			t.Fatal(err)
		}
		acknowledged := -1
		lines := bufio.NewScanner(output)
		for lines.Scan() {
			if _, err := fmt.Sscan(strings.TrimSpace(lines.Text()), &acknowledged); err != nil {
				t.Fatal(err)
			}
			if acknowledged == 20+round*7 {
				if err := command.Process.Kill(); err != nil {
					t.Fatal(err)
				}
			}
		}
		_ = command.Wait() // it was killed
		if acknowledged < 20 {
			t.Fatalf("the child acknowledged %d batches", acknowledged+1)
		}
		s := open(t, folder)
		schema := onlinetest.Schema(t)
		var keys [][]byte
		for i := range (acknowledged + 1) * 50 {
			keys = append(keys, onlinetest.Row(t, schema, "x", int64(i), time.Unix(0, 0), "").Key)
		}
		err = s.Get(t.Context(), "t", keys, time.Unix(0, 0), func(i int, event time.Time, value []byte) error {
			if value == nil || event.Unix() != int64(i/50) {
				return fmt.Errorf("row %d of an acknowledged batch is %x of %s", i, value, event)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		stats, err := s.Stats(t.Context(), "t")
		if err != nil || stats.Rows%50 != 0 {
			t.Fatalf("%d rows remain: a batch is there in part (%v)", stats.Rows, err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
