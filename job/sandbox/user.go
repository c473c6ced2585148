//go:build linux

package sandbox

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/moby/sys/user"
	"golang.org/x/sys/unix"

	"github.com/alvara-ml/alvara/resource"
)

// accountFileMax is how much of /etc/passwd or /etc/group is read at most, in bytes.
const accountFileMax = 8 << 20

// account is whom a command runs as, in ids inside.
type account struct {
	uid, gid int
	groups   []int
	home     string
}

// lookUp finds the user of a spec in the root file system.
func lookUp(root, name string, mapping Mapping) (account, error) {
	passwd, err := readInside(root, "/etc/passwd")
	if err != nil {
		return account{}, err
	}
	group, err := readInside(root, "/etc/group")
	if err != nil {
		return account{}, err
	}
	found, err := user.GetExecUser(name, &user.ExecUser{Home: "/"}, bytes.NewReader(passwd), bytes.NewReader(group))
	if err != nil {
		return account{}, invalid("User", "User %q is not in the root file system: %v. Use a number, or a name that its /etc/passwd and /etc/group have.", name, err).Because(err)
	}
	a := account{uid: found.Uid, gid: found.Gid, home: found.Home}
	for _, id := range append([]int{a.uid, a.gid}, found.Sgids...) {
		if id < 0 || uint32(id) >= mapping.Size {
			return account{}, invalid("User", "User %q needs the id %d, and ids below %d can be had here; %s.", name, id, mapping.Size, cureForIDs(mapping))
		}
	}
	if mapping.Size > 1 { // with a single id the kernel lets nobody set groups
		a.groups = found.Sgids
	}
	return a, nil
}

func cureForIDs(mapping Mapping) string {
	if mapping.Size == 1 {
		return "run the server with root's rights to have more than root's id inside"
	}
	return "choose a smaller id"
}

// readInside reads a file as somebody inside sees it: no link leads out of the root. One that is not there is empty.
func readInside(root, path string) ([]byte, error) {
	folder, err := unix.Open(root, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open the root file system: %w", err)
	}
	defer func() { _ = unix.Close(folder) }()
	fd, err := unix.Openat2(folder, path, &unix.OpenHow{
		// Without O_NONBLOCK a pipe in the file's place would never be opened.
		Flags:   unix.O_RDONLY | unix.O_CLOEXEC | unix.O_NONBLOCK | unix.O_NOCTTY,
		Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS,
	})
	switch {
	case errors.Is(err, unix.ENOENT), errors.Is(err, unix.ENOTDIR), errors.Is(err, unix.ELOOP):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("open %s in the root file system: %w", path, err)
	}
	file := os.NewFile(uintptr(fd), filepath.Join(root, path))
	defer func() { _ = file.Close() }()
	if info, err := file.Stat(); err != nil || !info.Mode().IsRegular() {
		return nil, err
	}
	content, err := io.ReadAll(io.LimitReader(file, accountFileMax+1))
	if err != nil {
		return nil, err
	}
	if len(content) > accountFileMax {
		return nil, invalid("Root", "%s in the root file system is larger than %d MiB.", path, accountFileMax>>20)
	}
	return content, nil
}

func invalid(field, format string, args ...any) *resource.Error {
	return resource.Invalidf("InvalidSandbox", format, args...).At(field)
}
