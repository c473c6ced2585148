// Package room tells whether the disk that holds runs has room: a reserve stays free, so that the server, which keeps its own data
// there, goes on working whatever runs write. What becomes of a run when there is no room is its users' affair.
package room

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/alvara-ml/alvara/resource"
)

// Reserve is the reserve in bytes where nobody says another one.
const Reserve = 1 << 30

// Check refuses to write a number of bytes below a folder, which need not be there yet, when less than a reserve would stay free. A
// reserve of 0 is Reserve, a negative one is none. Errors: Unavailable (DiskFull).
func Check(folder string, reserve, bytes int64) error {
	if reserve < 0 {
		return nil
	}
	var disk unix.Statfs_t
	for {
		err := unix.Statfs(folder, &disk)
		if err == nil {
			break
		}
		if above := filepath.Dir(folder); errors.Is(err, fs.ErrNotExist) && above != folder {
			folder = above
			continue
		}
		return fmt.Errorf("how full is the disk of %s: %w", folder, err)
	}
	block := int64(disk.Bsize)
	if reserve == 0 {
		reserve = Reserve
	}
	free := int64(disk.Bavail) * block
	if free-reserve < bytes {
		return resource.Errorf(resource.Unavailable, "DiskFull", "The server's disk is full: %d MiB are free, of which %d MiB are kept in reserve, and %d MiB are to be written. Make room and try again.",
			free>>20, reserve>>20, bytes>>20)
	}
	return nil
}
