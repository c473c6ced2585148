//go:build !linux

package layer

import (
	"errors"
	"syscall"
)

type unixStat = syscall.Stat_t

var errLinuxOnly = errors.New("layers of images can be unpacked on Linux only")

func makePipe(int, string) error { return errLinuxOnly }

func makeWhiteout(int, string) error { return errLinuxOnly }
