package dir_test

import (
	"testing"

	"github.com/alvara-ml/alvara/featurestore/lake"
	"github.com/alvara-ml/alvara/featurestore/lake/dir"
	"github.com/alvara-ml/alvara/featurestore/lake/laketest"
)

func TestBucket(t *testing.T) {
	laketest.Run(t, func(t *testing.T) lake.Bucket {
		b, err := dir.Open(t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		return b
	})
}
