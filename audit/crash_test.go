package audit

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// crashPath, when it is set, makes the test binary a process that records until it is killed.
const crashPath = "ALVARA_AUDIT_CRASH_PATH"

func TestMain(m *testing.M) {
	if path := os.Getenv(crashPath); path != "" {
		recordForever(path)
	}
	os.Exit(m.Run())
}

func recordForever(path string) {
	f, err := OpenFile(path, time.Now, WithSegmentBytes(100_000))
	if err != nil {
		panic(err)
	}
	for g := range 4 {
		go func() {
			for i := 0; ; i++ {
				name := fmt.Sprintf("%d/%d/%d", os.Getpid(), g, i)
				if err := f.Record(context.Background(), Record{Plane: "test", Action: name}); err != nil {
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

// TestCrash (BX-06) kills processes that record at random moments: what they were told is recorded is there, the chain
// holds, and the next one goes on.
func TestCrash(t *testing.T) {
	rounds := 20
	if testing.Short() {
		rounds = 5
	}
	path := filepath.Join(t.TempDir(), "audit.log")
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
			t.Fatalf("the process recorded nothing: %v\n%s", err, &faults)
		}
		time.AfterFunc(time.Duration(rand.IntN(20_000))*time.Microsecond, func() { _ = child.Process.Kill() })
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
	there := map[string]bool{}
	f := open(t, path)
	if err := Verify(path); err != nil {
		t.Error(err)
	}
	for _, action := range actions(t, path) {
		there[action] = true
	}
	for name := range told {
		if !there[name] {
			t.Errorf("%s was told to be recorded and is not there", name)
		}
	}
	t.Logf("%d records told, %d there, %d rounds", len(told), f.seq, rounds)
}

// cpu is the time this process has used of all processors.
func cpu() time.Duration {
	var usage syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &usage)
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}
