package jobtest

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
)

// Suite runs all that every backend has to pass.
func Suite(t *testing.T, w World) {
	for _, part := range []struct {
		name string
		run  func(*testing.T, World)
	}{
		{"ends", ends}, {"cancellation", cancellation}, {"nodes", nodes}, {"surroundings", surroundings}, {"network", network}, {"serving", serving},
		{"logs", logs}, {"once", once}, {"refusals", refusals}, {"many", many}, {"limits", limits},
	} {
		t.Run(part.name, func(t *testing.T) { part.run(t, w) })
	}
}

// Processes counts those of the machine that have a word among their arguments, zombies not counted.
func Processes(t testing.TB, word string) int {
	t.Helper()
	lines, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for _, path := range lines {
		if line, err := os.ReadFile(path); err == nil && bytes.Contains(line, []byte("\x00"+word+"\x00")) {
			found++
		}
	}
	return found
}
