package testenv

import (
	"os"
	"testing"

	"github.com/alvara-ml/alvara/app"
)

// Main runs a package's tests. The test binary is also the program that the server starts for work in processes of its
// own, so a package whose tests run a server has a TestMain that calls this.
func Main(m *testing.M) int {
	if status, ours := app.Child(os.Args); ours {
		return status
	}
	if dir := os.Getenv(serveVariable); dir != "" {
		return serve(dir)
	}
	return m.Run()
}
