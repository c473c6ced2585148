//go:build !linux

package duckdb

import (
	"os"
	"os/exec"

	"github.com/alvara-ml/alvara/featurestore/engine"
)

type isolation struct {
	walls   []string
	prepare func(*exec.Cmd)
}

func isolations() []isolation { return []isolation{{prepare: func(*exec.Cmd) {}}} }

func killGroup(cmd *exec.Cmd) {
	if cmd.Process != nil {
		_ = cmd.Process.Kill()
	}
}

func residentMemory(int) int64 { return 0 }

func peakMemory(*os.ProcessState) int64 { return 0 }

func lockIn(engine.Limits, []string, string) []string { return nil }
