package duckdb_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/alvara-ml/alvara/featurestore/engine"
	"github.com/alvara-ml/alvara/featurestore/engine/duckdb"
)

// BX-05: a parent killed with SIGKILL takes its compute process with it.
func TestParentKilled(t *testing.T) {
	request := transactions(t)
	request.SQL = `SELECT a.accountID, a.timestamp, sum(c.i * d.i)::DOUBLE AS amount FROM source a, range(1000000) c(i), range(1000000) d(i) GROUP BY ALL`
	request.Limits = engine.Limits{Threads: 1, Time: time.Minute}
	asked, err := json.Marshal(request)
	if err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	parent := exec.Command(self, "__parent")
	parent.Stdin = bytes.NewReader(asked)
	if err := parent.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = parent.Process.Kill() }()
	child := 0
	for began := time.Now(); !computing(child); time.Sleep(20 * time.Millisecond) {
		if child = childOf(parent.Process.Pid); time.Since(began) > 30*time.Second {
			t.Fatalf("no compute process at work, %d", child)
		}
	}
	if err := parent.Process.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	_ = parent.Wait()
	for began := time.Now(); computing(child); time.Sleep(20 * time.Millisecond) {
		if time.Since(began) > 10*time.Second {
			_ = syscall.Kill(child, syscall.SIGKILL)
			t.Fatal("the compute process outlived its parent")
		}
	}
}

func childOf(pid int) int {
	tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	for _, path := range tasks {
		children, _ := os.ReadFile(path)
		for _, field := range strings.Fields(string(children)) {
			if child, err := strconv.Atoi(field); err == nil {
				return child
			}
		}
	}
	return 0
}

// computing tells whether a process runs, is a compute process, and has spent some CPU time.
func computing(pid int) bool {
	command, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	if pid == 0 || err != nil || !bytes.Contains(command, []byte(duckdb.ComputeArgument)) {
		return false // a zombie has no command line either
	}
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return false
	}
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	ticks, err := strconv.Atoi(fields[11])
	return err == nil && ticks > 10
}
