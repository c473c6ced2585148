package build

import "syscall"

// changed is when a file was last changed, content or attributes.
func changed(stat *syscall.Stat_t) syscall.Timespec { return stat.Ctim }
