package substrait_test

import (
	"testing"

	"github.com/substrait-io/substrait-go/v8/extensions"

	_ "github.com/apache/iceberg-go/table" // asks for the definitions when it is initialized

	_ "github.com/alvara-ml/alvara/internal/substrait"
)

func TestNothingIsRead(t *testing.T) {
	have, err := extensions.GetDefaultCollection()
	if err != nil {
		t.Fatal(err)
	}
	if n := len(have.GetAllAggregateFunctions()); n != 0 {
		t.Errorf("%d definitions were read when the program started; this package came too late, or the library keeps them elsewhere", n)
	}
}
