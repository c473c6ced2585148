// Package substrait keeps a library's start-up work out of programs that import it. The Iceberg library converts row
// filters for Arrow's compute functions by way of Substrait, and for that reads all of Substrait's function definitions, some
// hundred kilobytes of YAML, when a program starts: 0.15 s of processor time and 30 MB, in every command and every worker.
// Alvara plans Iceberg scans and never filters rows with them (engines do that), so it needs no definition.
//
// A program imports this package for its effect; scans with row filters must not be read through the Iceberg library then.
package substrait

import (
	"strings"
	_ "unsafe" // for go:linkname

	"github.com/substrait-io/substrait-go/v8/extensions"
)

// load is what reads the definitions, once, for whoever asks first.
//
//go:linkname load github.com/substrait-io/substrait-go/v8/extensions.getDefaultCollectionOnce
var load func() (*extensions.Collection, error)

// Go initializes packages in the order of their import paths as soon as what they import is ready. This one needs nothing but
// the package of the variable, and its path sorts before that of the Iceberg library. Should either change, programs start as
// slowly as before; TestNothingIsRead notices.
func init() {
	load = func() (*extensions.Collection, error) {
		none := &extensions.Collection{}
		return none, none.Load("extension:alvara:none", strings.NewReader("urn: extension:alvara:none\n"))
	}
}
