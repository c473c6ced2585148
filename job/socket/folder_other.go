//go:build !linux

package socket

import (
	"fmt"
	"os"
)

func openFolder(path string) (*os.File, string, error) {
	return nil, "", fmt.Errorf("the path %s is too long for a socket's address on this system; choose a shorter data folder", path)
}
