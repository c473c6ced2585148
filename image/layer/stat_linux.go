package layer

import "syscall"

type unixStat = syscall.Stat_t
