// Command plainrunc is the runc beside it, without the filter of system calls: a runc that is built without libseccomp knows
// none, and a BuildKit daemon asks for one wherever the kernel has it. It is for tests alone.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"syscall"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "plainrunc:", err)
		os.Exit(1)
	}
}

func run() error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	if at := slices.Index(os.Args, "--bundle"); at >= 0 && at+1 < len(os.Args) {
		if err := unfilter(filepath.Join(os.Args[at+1], "config.json")); err != nil {
			return err
		}
	}
	program := filepath.Join(filepath.Dir(self), "runc")
	return syscall.Exec(program, append([]string{program}, os.Args[1:]...), os.Environ())
}

func unfilter(file string) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	var config map[string]json.RawMessage
	if err := json.Unmarshal(text, &config); err != nil {
		return err
	}
	var linux map[string]json.RawMessage
	if err := json.Unmarshal(config["linux"], &linux); err != nil {
		return err
	}
	delete(linux, "seccomp")
	if config["linux"], err = json.Marshal(linux); err != nil {
		return err
	}
	if text, err = json.Marshal(config); err != nil {
		return err
	}
	return os.WriteFile(file, text, 0o600)
}
