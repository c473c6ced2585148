package identity

import (
	"os"
	"testing"
)

var testFolder string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "identity-test-*")
	if err != nil {
		panic(err)
	}
	testFolder = dir
	code := m.Run()
	_ = os.RemoveAll(dir)
	os.Exit(code)
}
