package mem_test

import (
	"testing"

	"github.com/alvara-ml/alvara/featurestore/online"
	"github.com/alvara-ml/alvara/featurestore/online/mem"
	"github.com/alvara-ml/alvara/featurestore/online/onlinetest"
)

func TestStore(t *testing.T) {
	onlinetest.Run(t, func(*testing.T) online.Store { return &mem.Store{} })
}
