// Package layer owns the file systems of images on this machine: unpacking layers so that nothing gets out of its folder,
// keeping each unpacked layer once for everybody, looking at a stack of them as one tree, writing changes on top, and
// turning changes into a layer whose bytes depend on nothing but what is in it. Where layers come from and who may have
// them is package pull's affair; running commands on a stack is the Runner's.
//
// # The form on disk
//
// An unpacked layer is a folder as overlay file systems have it: a file that the layer removes is a character device 0:0,
// a folder that hides what lies below has the attribute overlay.opaque. Owners are shifted (Owners). An ordinary
// user cannot give files away; what the image says of owner and mode is then kept in the attribute user.alvara.owner.
package layer

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/alvara-ml/alvara/resource"
)

// Owners shifts the ids of an image to those on disk.
type Owners struct {
	UID, GID uint32 // what 0 of the image is on disk
	Size     uint32 // how many follow; ids at or above it become 0
	// Chown says that this process may give files to the shifted ids. Without it everything belongs to this process.
	Chown bool
}

func (o Owners) disk(uid, gid int) (int, int) {
	shift := func(id int, base uint32) int {
		if id < 0 || uint32(id) >= o.Size {
			id = 0
		}
		return int(base) + id
	}
	return shift(uid, o.UID), shift(gid, o.GID)
}

func (o Owners) image(uid, gid uint32) (int, int) {
	unshift := func(id, base uint32) int {
		if id < base || id-base >= o.Size {
			return 0
		}
		return int(id - base)
	}
	return unshift(uid, o.UID), unshift(gid, o.GID)
}

// Attributes are what an image says of a file beside its content.
type Attributes struct {
	Mode     fs.FileMode // permission, setuid, setgid and sticky bits
	UID, GID int
	ModTime  time.Time
}

const modeBits = fs.ModePerm | fs.ModeSetuid | fs.ModeSetgid | fs.ModeSticky

const (
	ownerAttribute      = "user.alvara.owner"
	capabilityAttribute = "security.capability"
	whiteoutPrefix      = ".wh."
	opaqueName          = ".wh..wh..opq"
)

var overlayPrefixes = []string{"trusted.overlay.", "user.overlay."}

// set gives an open file or folder its owner, mode and attributes.
func (o Owners) set(file *os.File, a Attributes) error {
	if o.Chown {
		uid, gid := o.disk(a.UID, a.GID)
		if err := file.Chown(uid, gid); err != nil {
			return err
		}
		return file.Chmod(a.Mode & modeBits) // after chown, which clears setuid
	}
	info, err := file.Stat()
	if err != nil {
		return err
	}
	disk := a.Mode & fs.ModePerm // setuid bits would be this user's own
	disk |= 0o600
	if info.IsDir() {
		disk |= 0o700
	}
	if err := file.Chmod(disk); err != nil {
		return err
	}
	if a.UID == 0 && a.GID == 0 && a.Mode&modeBits == disk {
		_ = unix.Fremovexattr(int(file.Fd()), ownerAttribute) // most often there is none
		return nil
	}
	text := fmt.Sprintf("%d:%d:%o:%o", a.UID, a.GID, unixMode(a.Mode), disk)
	// A file system without attributes loses owners; the layer that is made keeps root's, as after every chown that is refused.
	_ = unix.Fsetxattr(int(file.Fd()), ownerAttribute, []byte(text), 0)
	return nil
}

// get reads back what set wrote. file is nil for what cannot be opened: links, devices, pipes.
func (o Owners) get(file *os.File, info fs.FileInfo) Attributes {
	a := Attributes{Mode: info.Mode() & modeBits, ModTime: info.ModTime()}
	stat := statOf(info)
	a.UID, a.GID = o.image(stat.Uid, stat.Gid)
	if o.Chown || file == nil {
		return a
	}
	text, err := getAttribute(file, ownerAttribute)
	if err != nil {
		return a
	}
	var uid, gid int
	var mode, disk uint32
	if _, err := fmt.Sscanf(string(text), "%d:%d:%o:%o", &uid, &gid, &mode, &disk); err != nil || uid < 0 || gid < 0 {
		return a
	}
	a.UID, a.GID = uid, gid
	if fs.FileMode(disk) == info.Mode()&fs.ModePerm { // nobody changed it since
		a.Mode = fileMode(mode)
	}
	return a
}

func getAttribute(file *os.File, name string) ([]byte, error) {
	buffer := make([]byte, 256)
	for {
		n, err := unix.Fgetxattr(int(file.Fd()), name, buffer)
		if errors.Is(err, unix.ERANGE) && len(buffer) < 64<<10 {
			buffer = make([]byte, len(buffer)*4)
			continue
		}
		if err != nil {
			return nil, err
		}
		return buffer[:n], nil
	}
}

func listAttributes(file *os.File) []string {
	buffer := make([]byte, 64<<10)
	n, err := unix.Flistxattr(int(file.Fd()), buffer)
	if err != nil || n == 0 {
		return nil
	}
	return strings.Split(strings.TrimSuffix(string(buffer[:n]), "\x00"), "\x00")
}

// kept says whether an attribute is part of an image: file capabilities and what users attach, not what this machine's
// file systems keep for themselves.
func kept(name string) bool {
	if name == ownerAttribute || strings.HasPrefix(name, "user.overlay.") {
		return false
	}
	return name == capabilityAttribute || strings.HasPrefix(name, "user.")
}

func setOpaque(file *os.File) error {
	var failed error
	for i, prefix := range overlayPrefixes { // which of them counts is the mount's choice
		err := unix.Fsetxattr(int(file.Fd()), prefix+"opaque", []byte("y"), 0)
		if err != nil && (i == 1 || !errors.Is(err, unix.EPERM)) {
			failed = err
		}
	}
	return failed
}

func isOpaque(file *os.File) bool {
	for _, prefix := range overlayPrefixes {
		if value, err := getAttribute(file, prefix+"opaque"); err == nil && string(value) == "y" {
			return true
		}
	}
	return false
}

// A file's capabilities name the root that they are good for. In an image that is nobody's in particular (version 2 of
// the attribute), on disk the shifted one (version 3).
func (o Owners) capabilityToDisk(value []byte) []byte {
	if len(value) != 20 || value[3] != 2 || !o.Chown || o.UID == 0 {
		return value
	}
	disk := append([]byte(nil), value...)
	disk[3] = 3
	return binary.LittleEndian.AppendUint32(disk, o.UID)
}

func (o Owners) capabilityToImage(value []byte) []byte {
	if len(value) != 24 || value[3] != 3 {
		return value
	}
	image := append([]byte(nil), value[:20]...)
	image[3] = 2
	return image
}

func isWhiteout(info fs.FileInfo) bool {
	return info.Mode()&fs.ModeCharDevice != 0 && statOf(info).Rdev == 0
}

func unixMode(mode fs.FileMode) uint32 {
	bits := uint32(mode.Perm())
	for flag, bit := range map[fs.FileMode]uint32{fs.ModeSetuid: 0o4000, fs.ModeSetgid: 0o2000, fs.ModeSticky: 0o1000} {
		if mode&flag != 0 {
			bits |= bit
		}
	}
	return bits
}

func fileMode(bits uint32) fs.FileMode {
	mode := fs.FileMode(bits & 0o777)
	for flag, bit := range map[fs.FileMode]uint32{fs.ModeSetuid: 0o4000, fs.ModeSetgid: 0o2000, fs.ModeSticky: 0o1000} {
		if bits&bit != 0 {
			mode |= flag
		}
	}
	return mode
}

func statOf(info fs.FileInfo) *unixStat { return info.Sys().(*unixStat) }

func badArchive(format string, args ...any) *resource.Error {
	return resource.Invalidf("InvalidArchive", "%s.", fmt.Sprintf(format, args...))
}

func tooLarge(format string, args ...any) *resource.Error {
	return resource.Errorf(resource.TooLarge, "ArchiveTooLarge", "%s.", fmt.Sprintf(format, args...))
}
