package mem_test

import (
	"testing"
	"time"

	"github.com/alvara-ml/alvara/dataplane/blob"
	"github.com/alvara-ml/alvara/dataplane/blob/blobtest"
	"github.com/alvara-ml/alvara/dataplane/blob/mem"
)

func TestSuite(t *testing.T) {
	blobtest.Run(t, func(_ *testing.T, clock func() time.Time) blob.Objects { return mem.New(clock) })
}
