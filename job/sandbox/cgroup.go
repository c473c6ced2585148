//go:build linux

package sandbox

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// account of a cgroup, at its end.
type consumption struct {
	cpu     time.Duration
	peak    int64 // bytes
	oomKill bool
}

// consumed reads what a cgroup took. Paths are by controller, or by "" for version 2. Without any, found is false.
func consumed(paths map[string]string) (c consumption, found bool) {
	if unified, ok := paths[""]; ok && paths["memory"] == "" {
		c.cpu = time.Duration(field(filepath.Join(unified, "cpu.stat"), "usage_usec")) * time.Microsecond
		c.peak = number(filepath.Join(unified, "memory.peak"))
		c.oomKill = field(filepath.Join(unified, "memory.events"), "oom_kill") > 0
		return c, c.cpu > 0
	}
	c.cpu = time.Duration(number(filepath.Join(paths["cpuacct"], "cpuacct.usage")))
	c.peak = number(filepath.Join(paths["memory"], "memory.max_usage_in_bytes"))
	c.oomKill = field(filepath.Join(paths["memory"], "memory.oom_control"), "oom_kill") > 0
	return c, c.cpu > 0
}

// number is the content of a file; 0 when it is not there.
func number(path string) int64 {
	content, err := os.ReadFile(path)
	if err != nil {
		return 0
	}
	n, _ := strconv.ParseInt(string(bytes.TrimSpace(content)), 10, 64)
	return n
}

// field is a number in a file of "name number" lines; 0 when it is not there.
func field(path, name string) int64 {
	content, err := os.ReadFile(path)
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(content)) {
		if value, ok := strings.CutPrefix(line, name+" "); ok {
			n, _ := strconv.ParseInt(strings.TrimSpace(value), 10, 64)
			return n
		}
	}
	return 0
}
