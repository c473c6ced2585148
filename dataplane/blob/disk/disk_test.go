package disk_test

import (
	"testing"
	"time"

	"github.com/alvara-ml/alvara/dataplane/blob"
	"github.com/alvara-ml/alvara/dataplane/blob/blobtest"
	"github.com/alvara-ml/alvara/dataplane/blob/disk"
)

func open(t testing.TB, options disk.Options) *disk.Store {
	t.Helper()
	s, err := disk.Open(options)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestSuite(t *testing.T) {
	blobtest.Run(t, func(t *testing.T, clock func() time.Time) blob.Objects {
		s := open(t, disk.Options{Dir: t.TempDir(), Clock: clock})
		t.Cleanup(func() {
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		})
		return s
	})
}
