package layer

import (
	"syscall"

	"golang.org/x/sys/unix"
)

type unixStat = syscall.Stat_t

// makePipe makes a named pipe in an open folder.
func makePipe(dir int, name string) error { return unix.Mkfifoat(dir, name, 0o600) }

// makeWhiteout hides what the layers below have at a name, as overlays do it.
func makeWhiteout(dir int, name string) error { return unix.Mknodat(dir, name, unix.S_IFCHR, 0) }
