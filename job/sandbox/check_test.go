//go:build linux

package sandbox

import (
	"os"
	"testing"
)

// What the machine lacks is named, and nothing else is.
func TestCheck(t *testing.T) {
	can := Check()
	if can.Root != (os.Geteuid() == 0) {
		t.Errorf("root's rights: %v", can.Root)
	}
	whole := can.Root && can.Ready() && can.Overlay && can.Memory && can.PIDs && can.CPUs && can.Version > 0
	if whole != (len(can.Lacks) == 0) {
		t.Errorf("%+v", can)
	}
	if !can.Root && (can.Version != 0 || can.Overlay || can.Memory) {
		t.Errorf("an ordinary user has %+v", can)
	}
	if can.Seccomp && !can.Namespaces {
		t.Errorf("the filter was tried in namespaces that there are not: %+v", can)
	}
}
