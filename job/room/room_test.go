package room_test

import (
	"math"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/alvara-ml/alvara/job/room"
	"github.com/alvara-ml/alvara/resource"
)

func TestCheck(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "not", "there")
	for name, c := range map[string]struct {
		reserve, bytes int64
		full           bool
	}{
		"nothing kept":      {1, 0, false},
		"no reserve":        {-1, math.MaxInt64, false},
		"all kept":          {math.MaxInt64, 0, true},
		"too much to write": {1, math.MaxInt64, true},
		"by default":        {0, math.MaxInt64, true},
	} {
		err := room.Check(dir, c.reserve, c.bytes)
		if !c.full && err == nil {
			continue
		}
		if known, ok := resource.AsError(err); !c.full || !ok || known.Code != "DiskFull" || known.Kind != resource.Unavailable {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// The reserve by default is 1 GiB.
func TestDefault(t *testing.T) {
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=1040m"); err != nil {
		t.Skipf("no small disk: %v", err)
	}
	t.Cleanup(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) })
	if err := room.Check(dir, 0, 1<<20); err != nil {
		t.Error(err)
	}
	if err := room.Check(dir, 0, 32<<20); err == nil {
		t.Error("more than the reserve leaves is written")
	}
}
