//go:build linux

package sandbox

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"
)

// The least that limits can be: the start of a sandbox itself needs as much.
const (
	LeastMemory = 64 << 20 // bytes
	LeastPIDs   = 32
	LeastCPUs   = 0.01
)

// DefaultPath is the PATH of a command whose Env has none.
const DefaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

const defaultTmpfs = 64 << 20 // bytes

// The lengths of names, in bytes.
const (
	longestID       = 128
	longestHostname = 63
)

// isName tells whether a word has letters, digits, "_" and, but for its first character, those of more.
func isName(word, more string, longest int) bool {
	if word == "" || len(word) > longest || strings.ContainsRune(more, rune(word[0])) {
		return false
	}
	for _, c := range []byte(word) {
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_'
		if !letter && !strings.ContainsRune(more, rune(c)) {
			return false
		}
	}
	return true
}

func isID(id string) bool { return isName(id, ".+-", longestID) }

// complete checks a spec and puts the defaults in. What it returns shares nothing with the caller that Run changes.
func (s Spec) complete() (Spec, error) {
	if !isID(s.ID) {
		return s, invalid("ID", "ID %q must be 1 to 128 letters, digits, '_', '-', '.' or '+', and begin with a letter, a digit or '_'.", s.ID)
	}
	var err error
	if s.State, err = absolute("State", s.State); err != nil {
		return s, err
	}
	if s.Root, err = absolute("Root", s.Root); err != nil {
		return s, err
	}
	if info, err := os.Stat(s.Root); err != nil || !info.IsDir() {
		return s, invalid("Root", "Root %q is not a folder; give the folder of a root file system.", s.Root).Because(err)
	}
	if s.Mapping == (Mapping{}) {
		s.Mapping = Map()
	}
	if s.Mapping.Size == 0 || s.Mapping.Host == 0 && os.Geteuid() == 0 {
		return s, invalid("Mapping", "Mapping must not give root's own id to the inside, and its Size must be at least 1; leave it out for %+v.", Map())
	}
	if s, err = s.completeCommand(); err != nil {
		return s, err
	}
	if err := s.checkMounts(); err != nil {
		return s, err
	}
	s.Limits, err = s.Limits.complete()
	return s, err
}

func (s Spec) completeCommand() (Spec, error) {
	if len(s.Args) == 0 || s.Args[0] == "" {
		return s, invalid("Args", "Args must begin with the command to run.")
	}
	for _, words := range [][]string{s.Args, s.Env} {
		for _, word := range words {
			if strings.ContainsRune(word, 0) {
				return s, invalid("Args", "Args and Env must not contain the character NUL.")
			}
		}
	}
	for _, setting := range s.Env {
		if name, _, ok := strings.Cut(setting, "="); !ok || name == "" {
			return s, invalid("Env", "Env has %q, and every entry must be NAME=value.", setting)
		}
	}
	s.Env = slices.Clone(s.Env)
	if _, ok := lookupEnv(s.Env, "PATH"); !ok {
		s.Env = append(s.Env, "PATH="+DefaultPath)
	}
	if s.Dir == "" {
		s.Dir = "/"
	}
	if !strings.HasPrefix(s.Dir, "/") || strings.ContainsRune(s.Dir, 0) {
		return s, invalid("Dir", "Dir %q must be an absolute path inside.", s.Dir)
	}
	s.Dir = filepath.Clean(s.Dir)
	if s.Hostname == "" {
		s.Hostname = strings.ReplaceAll(s.ID, "+", "-")[:min(longestHostname, len(s.ID))]
	}
	if !isName(s.Hostname, ".-", longestHostname) {
		return s, invalid("Hostname", "Hostname %q must be 1 to 63 letters, digits, '-', '_' or '.'.", s.Hostname)
	}
	if s.Network != None && s.Network != Host {
		return s, invalid("Network", "Network %d must be None or Host.", s.Network)
	}
	if s.Net != nil && (s.Network != None || s.Mapping != s.Net.mapping) {
		return s, invalid("Net", "Net is for the Network None and the Mapping %+v alone.", s.Net.mapping)
	}
	return s, nil
}

func (s Spec) checkMounts() error {
	for i, m := range s.Mounts {
		field := fmt.Sprintf("Mounts[%d]", i)
		target := filepath.Clean(m.Target)
		if !strings.HasPrefix(m.Target, "/") || target == "/" || strings.ContainsRune(target, 0) {
			return invalid(field+".Target", "Target %q must be an absolute path inside, and not the root itself.", m.Target)
		}
		for _, taken := range []string{"/proc", "/sys", "/dev"} {
			if target == taken || strings.HasPrefix(target, taken+"/") {
				return invalid(field+".Target", "Target %q must not be below /proc, /sys or /dev.", m.Target)
			}
		}
		if m.Size < 0 || m.Source != "" && m.Size != 0 {
			return invalid(field+".Size", "Size is for a tmpfs, which has no Source, and must not be negative.")
		}
		if m.Source == "" && m.ReadOnly {
			return invalid(field+".ReadOnly", "A tmpfs cannot be read-only, since nothing could ever be in it.")
		}
		if m.Source == "" {
			continue
		}
		if !filepath.IsAbs(m.Source) {
			return invalid(field+".Source", "Source %q must be an absolute path.", m.Source)
		}
		if _, err := os.Stat(m.Source); err != nil {
			return invalid(field+".Source", "Source %q cannot be found; give a folder or a file.", m.Source).Because(err)
		}
	}
	if s.Overlay == nil {
		return nil
	}
	if len(s.Overlay.Lower) == 0 || (s.Overlay.Upper == "") != (s.Overlay.Work == "") {
		return invalid("Overlay", "Overlay needs at least one folder in Lower, and Upper and Work both or neither.")
	}
	return nil
}

func (l Limits) complete() (Limits, error) {
	if l.Memory == 0 {
		l.Memory = DefaultMemory
	}
	if l.PIDs == 0 {
		l.PIDs = DefaultPIDs
	}
	if l.Time == 0 {
		l.Time = DefaultTime
	}
	if l.CPUs == 0 {
		l.CPUs = float64(runtime.NumCPU())
	}
	switch {
	case l.Memory < LeastMemory:
		return l, invalid("Limits.Memory", "Limits.Memory is %d bytes, and must be at least %d.", l.Memory, LeastMemory)
	case l.PIDs < LeastPIDs:
		return l, invalid("Limits.PIDs", "Limits.PIDs is %d, and must be at least %d.", l.PIDs, LeastPIDs)
	case math.IsNaN(l.CPUs) || l.CPUs < LeastCPUs || l.CPUs > 1e6:
		return l, invalid("Limits.CPUs", "Limits.CPUs is %v, and must be at least %v.", l.CPUs, LeastCPUs)
	case l.Time < time.Millisecond:
		return l, invalid("Limits.Time", "Limits.Time is %v, and must be at least a millisecond.", l.Time)
	}
	return l, nil
}

func absolute(field, path string) (string, error) {
	if path == "" {
		return "", invalid(field, "%s is missing; give a folder.", field)
	}
	path, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	if resolved, err := filepath.EvalSymlinks(path); err == nil {
		path = resolved
	}
	return path, nil
}

func lookupEnv(env []string, name string) (string, bool) {
	for _, setting := range slices.Backward(env) {
		if value, ok := strings.CutPrefix(setting, name+"="); ok {
			return value, true
		}
	}
	return "", false
}
