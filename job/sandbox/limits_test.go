//go:build linux

package sandbox

import (
	"strings"
	"testing"
	"time"
)

func TestMemoryLimit(t *testing.T) {
	can := Check()
	spec := box(t, "hog", "400")
	spec.Limits.Memory = 128 << 20
	exit, output := run(t, spec)
	if strings.Contains(output, "took") || exit.Code == 0 {
		t.Errorf("%+v %.200q", exit, output)
	}
	if can.Memory && (!exit.OutOfMemory || exit.Signal != "SIGKILL" || exit.Usage.PeakMemory > 129<<20 || exit.Usage.PeakMemory < 100<<20) {
		t.Errorf("%+v", exit)
	}
	spec = box(t, "hog", "60")
	spec.Limits.Memory = 256 << 20
	if got := succeed(t, spec); got != "took 60 MiB" {
		t.Error(got)
	}
}

func TestProcessLimit(t *testing.T) {
	spec := box(t, "bomb", "500")
	spec.Limits.PIDs = 64
	if exit, output := run(t, spec); strings.Contains(output, "nothing stopped it") {
		t.Errorf("%+v %.300q", exit, output)
	}
}

func TestCPULimit(t *testing.T) {
	if !Check().CPUs {
		t.Skip("the use of CPUs cannot be limited here")
	}
	spec := box(t, "spin", "1s")
	spec.Limits.CPUs = 0.2
	exit, _ := run(t, spec)
	if cpu := exit.Usage.CPU; cpu > 500*time.Millisecond || cpu < 50*time.Millisecond {
		t.Errorf("%v of a processor in a second", cpu)
	}
}

func TestZombies(t *testing.T) {
	if got := succeed(t, box(t, "zombies")); got != "none left" {
		t.Error(got)
	}
}

func BenchmarkTrue(b *testing.B) {
	spec := box(b)
	spec.Args = []string{"/bin/true"}
	for b.Loop() {
		run(b, spec)
	}
}
