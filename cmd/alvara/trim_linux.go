package main

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"runtime/debug"
	"strings"

	"golang.org/x/sys/unix"
)

// trim gives back what only the start needed: the garbage on the heap, and the pages of the program itself that were read
// on the way, which are mapped again as they are used. Failing costs memory and nothing else.
func trim() {
	debug.FreeOSMemory()
	self, err := os.Executable()
	if err != nil {
		return
	}
	text, err := os.ReadFile("/proc/self/smaps")
	if err != nil {
		return
	}
	for _, m := range unwritten(text, self) {
		_, _, _ = unix.Syscall(unix.SYS_MADVISE, m.from, m.to-m.from, unix.MADV_DONTNEED)
	}
}

type mapping struct{ from, to uintptr }

// unwritten finds the read-only mappings of a file in /proc/self/smaps of which no page was ever written. One that was
// written while the program was loaded must stay, since the file does not have what was written.
func unwritten(smaps []byte, file string) []mapping {
	var found []mapping
	var current mapping
	for lines := bufio.NewScanner(bytes.NewReader(smaps)); lines.Scan(); {
		fields := strings.Fields(lines.Text())
		switch {
		case len(fields) >= 5 && len(fields[1]) == 4: // 00aa8000-04fe1000 r-xp 006a8000 fe:00 10004833   /usr/bin/alvara
			current = mapping{}
			if len(fields) == 6 && fields[5] == file && fields[1][0] == 'r' && fields[1][1] == '-' && fields[1][3] == 'p' {
				_, _ = fmt.Sscanf(fields[0], "%x-%x", &current.from, &current.to) // zero when it is not as expected
			}
		case len(fields) == 3 && fields[0] == "Anonymous:" && fields[1] == "0" && current.to > current.from:
			found = append(found, current)
		}
	}
	return found
}
