//go:build !linux

package enginebench

import "os"

func peakBytes(*os.ProcessState) int64 { return 0 }
