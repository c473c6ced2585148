package socket

import (
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// openFolder gives a short path to a folder, which holds while it is open.
func openFolder(path string) (*os.File, string, error) {
	fd, err := unix.Open(path, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, "", &os.PathError{Op: "open", Path: path, Err: err}
	}
	return os.NewFile(uintptr(fd), path), "/proc/self/fd/" + strconv.Itoa(fd), nil
}
