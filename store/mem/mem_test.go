package mem_test

import (
	"testing"

	"github.com/alvara-ml/alvara/store"
	"github.com/alvara-ml/alvara/store/mem"
	"github.com/alvara-ml/alvara/store/storetest"
)

func TestStore(t *testing.T) {
	storetest.Run(t, func(testing.TB) store.Store { return mem.New() })
}
