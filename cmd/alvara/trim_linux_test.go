package main

import (
	"bytes"
	"os"
	"slices"
	"testing"
)

const someMaps = `00400000-00aa8000 r--p 00000000 fe:00 1    /usr/bin/alvara
Size:               6816 kB
Anonymous:             0 kB
VmFlags: rd mr mw me
00aa8000-04fe1000 r-xp 006a8000 fe:00 1    /usr/bin/alvara
Anonymous:             0 kB
0810f000-08191000 r--p 07d0f000 fe:00 1    /usr/bin/alvara
Anonymous:           520 kB
08191000-0832a000 rw-p 07d91000 fe:00 1    /usr/bin/alvara
Anonymous:             0 kB
0832a000-0a350000 rw-p 00000000 00:00 0
Anonymous:             0 kB
7f209e75c000-7f209e91c000 r-xp 00000000 fe:00 2    /usr/lib/libc.so.6
Anonymous:             0 kB
`

// What the loader wrote, and what is not the program's own, stays (BX-07: the server that says it is ready goes on).
func TestOnlyUnwrittenPagesAreGivenBack(t *testing.T) {
	want := []mapping{{0x400000, 0xaa8000}, {0xaa8000, 0x4fe1000}}
	if got := unwritten([]byte(someMaps), "/usr/bin/alvara"); !slices.Equal(got, want) {
		t.Errorf("gives %x back, want %x", got, want)
	}
}

// A program that has been trimmed works on.
func TestTrim(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	smaps, err := os.ReadFile("/proc/self/smaps")
	if err != nil {
		t.Skip(err)
	}
	if len(unwritten(smaps, self)) == 0 {
		t.Errorf("nothing of %s is found in its own mappings", self)
	}
	trim()
	after, err := os.ReadFile("/proc/self/smaps")
	if err != nil || bytes.Equal(smaps, after) {
		t.Errorf("nothing was given back (%v)", err)
	}
}
