//go:build !linux

package main

import "runtime/debug"

// trim gives the garbage of the start back.
func trim() { debug.FreeOSMemory() }
