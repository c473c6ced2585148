// Package acceptance tests the whole server as its users meet it: over TLS, with real clients, acting as principals who
// hold the roles that the documents describe.
package acceptance

import (
	"os"
	"testing"

	"github.com/alvara-ml/alvara/test/testenv"
)

func TestMain(m *testing.M) { os.Exit(testenv.Main(m)) }
