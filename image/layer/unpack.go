package layer

import (
	"archive/tar"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Unpacking says how an archive is unpacked.
type Unpacking struct {
	Owners Owners
	// Layer understands the marks of layers for removed files, and passes over device nodes, which every container has of
	// its own. Without it both are refused, and owners are not kept: a context has none.
	Layer bool
	// MaxBytes and MaxEntries bound what is written; they are checked while it is.
	MaxBytes   int64
	MaxEntries int
	// Skip leaves out entries by their clean relative name; nil takes all.
	Skip func(name string, folder bool) bool
}

// Unpack writes the tar stream's entries below root, which is an empty folder, and nothing anywhere else: a name with "..",
// one that leads through a symbolic link, or a hard link to something that the archive does not hold is an Invalid error,
// too much is TooLarge. Absolute names lie below root. What was written before an error stays; the caller removes it.
func Unpack(ctx context.Context, stream io.Reader, root *os.Root, how Unpacking) error {
	u := &unpacker{how: how, root: root, folders: map[string]time.Time{}}
	defer u.leave()
	archive := tar.NewReader(contextReader{ctx, stream})
	for {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return readFault(ctx, err)
		}
		if err := u.entry(header, archive); err != nil {
			return readFault(ctx, err)
		}
	}
	u.leave()
	for name, modified := range u.folders { // last, since what is put into a folder changes its time
		if err := root.Chtimes(name, modified, modified); err != nil {
			return err
		}
	}
	return nil
}

// readFault classes what a damaged archive gives.
func readFault(ctx context.Context, err error) error {
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(err, tar.ErrHeader), errors.Is(err, io.ErrUnexpectedEOF):
		return badArchive("The archive is damaged or cut off").Because(err)
	}
	return err
}

// contextReader ends with its context.
type contextReader struct {
	ctx context.Context
	r   io.Reader
}

func (c contextReader) Read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.r.Read(p)
}

type unpacker struct {
	how     Unpacking
	root    *os.Root
	bytes   int64
	entries int
	folders map[string]time.Time
	// The folder of the last entry stays open: archives go folder by folder.
	inName string
	in     *os.Root
}

func (u *unpacker) leave() {
	if u.in != nil {
		_ = u.in.Close() // opened for looking up names only
	}
	u.in, u.inName = nil, ""
}

// cleanName makes an entry's name relative to the root; "." is the root itself.
func cleanName(name string) (string, error) {
	if strings.ContainsRune(name, 0) {
		return "", badArchive("The archive has a name with a zero byte")
	}
	for part := range strings.SplitSeq(name, "/") {
		if part == ".." {
			return "", badArchive("The archive's entry %q leads out of it by \"..\"", name)
		}
	}
	clean := strings.TrimPrefix(path.Clean("/"+name), "/")
	if clean == "" {
		return ".", nil
	}
	return clean, nil
}

func (u *unpacker) entry(header *tar.Header, content io.Reader) error {
	switch header.Typeflag {
	case tar.TypeXGlobalHeader:
		return nil
	case tar.TypeReg, tar.TypeDir, tar.TypeSymlink, tar.TypeLink, tar.TypeFifo, tar.TypeChar, tar.TypeBlock:
	default:
		return badArchive("The archive's entry %q is of the kind %q, which images do not have", header.Name, header.Typeflag)
	}
	if u.entries++; u.how.MaxEntries > 0 && u.entries > u.how.MaxEntries {
		return tooLarge("The archive has more than %d entries", u.how.MaxEntries)
	}
	name, err := cleanName(header.Name)
	if err != nil {
		return err
	}
	folder := header.Typeflag == tar.TypeDir
	if u.how.Skip != nil && name != "." && u.how.Skip(name, folder) {
		return nil
	}
	if name == "." {
		if !folder {
			return badArchive("The archive's entry %q stands for the root and is no folder", header.Name)
		}
		return u.attributes(u.root, ".", ".", header)
	}
	dir, base := path.Split(name)
	in, err := u.enter(path.Clean(dir))
	if err != nil {
		return err
	}
	if u.how.Layer && strings.HasPrefix(base, whiteoutPrefix) {
		return u.whiteout(in, base, header.Name)
	}
	return u.create(in, name, base, header, content)
}

// enter opens a folder of the tree, making what is missing; none of its parts may be a link.
func (u *unpacker) enter(dir string) (*os.Root, error) {
	if u.in != nil && u.inName == dir {
		return u.in, nil
	}
	u.leave()
	at, err := u.root.OpenRoot(".")
	if err != nil {
		return nil, err
	}
	walked := ""
	for part := range strings.SplitSeq(dir, "/") {
		if part == "." {
			continue
		}
		walked = path.Join(walked, part)
		next, err := u.step(at, part, walked)
		_ = at.Close() // opened for looking up names only
		if err != nil {
			return nil, err
		}
		at = next
	}
	u.in, u.inName = at, dir
	return at, nil
}

func (u *unpacker) step(at *os.Root, part, walked string) (*os.Root, error) {
	info, err := at.Lstat(part)
	missing := errors.Is(err, fs.ErrNotExist) || err == nil && isWhiteout(info)
	switch {
	case missing:
		if err := u.freshFolder(at, part, info != nil); err != nil {
			return nil, err
		}
		if err := u.apply(at, part, Attributes{Mode: 0o755}, nil); err != nil {
			return nil, err
		}
		u.folders[walked] = time.Unix(0, 0)
	case err != nil:
		return nil, err
	case info.Mode()&fs.ModeSymlink != 0:
		return nil, badArchive("The archive puts something into %q, which is a symbolic link in it", walked)
	case !info.IsDir():
		return nil, badArchive("The archive puts something into %q, which is no folder in it", walked)
	}
	return at.OpenRoot(part)
}

// freshFolder makes a folder. One that takes the place of a removed one hides all that lies below.
func (u *unpacker) freshFolder(in *os.Root, base string, hides bool) error {
	if hides {
		if err := in.Remove(base); err != nil {
			return err
		}
	}
	if err := in.Mkdir(base, 0o700); err != nil || !hides {
		return err
	}
	file, err := in.Open(base)
	if err != nil {
		return err
	}
	defer file.Close()
	return setOpaque(file)
}

func (u *unpacker) create(in *os.Root, name, base string, header *tar.Header, content io.Reader) error {
	old, err := in.Lstat(base)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	folder := header.Typeflag == tar.TypeDir
	removed := old != nil && isWhiteout(old)
	if folder {
		if old == nil || removed {
			if err := u.freshFolder(in, base, removed); err != nil {
				return err
			}
			return u.attributes(in, base, name, header)
		}
		if old.IsDir() {
			return u.attributes(in, base, name, header)
		}
	}
	if header.Typeflag == tar.TypeLink {
		return u.hardLink(in, name, base, header)
	}
	if old != nil {
		if err := u.replace(in, name, base); err != nil {
			return err
		}
	}
	switch header.Typeflag {
	case tar.TypeDir:
		if err := in.Mkdir(base, 0o700); err != nil {
			return err
		}
	case tar.TypeReg:
		return u.file(in, base, header, content)
	case tar.TypeSymlink:
		return u.symlink(in, base, header)
	case tar.TypeFifo:
		if !u.how.Layer {
			return badArchive("The archive's entry %q is a pipe; a context has files, folders and links", header.Name)
		}
		if err := at(in, func(dir int) error { return makePipe(dir, base) }); err != nil {
			return err
		}
		return u.special(in, base, header)
	case tar.TypeChar, tar.TypeBlock:
		if !u.how.Layer {
			return badArchive("The archive's entry %q is a device; a context has files, folders and links", header.Name)
		}
		return nil
	}
	return u.attributes(in, base, name, header)
}

// replace makes room for an entry that comes a second time.
func (u *unpacker) replace(in *os.Root, name, base string) error {
	for folder := range u.folders {
		if folder == name || strings.HasPrefix(folder, name+"/") {
			delete(u.folders, folder)
		}
	}
	return in.RemoveAll(base)
}

func (u *unpacker) file(in *os.Root, base string, header *tar.Header, content io.Reader) error {
	if u.bytes += header.Size; u.how.MaxBytes > 0 && u.bytes > u.how.MaxBytes {
		return tooLarge("The archive unpacks to more than %d bytes", u.how.MaxBytes)
	}
	file, err := in.OpenFile(base, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(file, content)
	if err == nil {
		err = u.how.Owners.set(file, u.claims(header))
	}
	if err == nil {
		err = u.extended(file, header)
	}
	if closing := file.Close(); err == nil {
		err = closing
	}
	if err != nil {
		return err
	}
	return in.Chtimes(base, header.ModTime, header.ModTime)
}

func (u *unpacker) symlink(in *os.Root, base string, header *tar.Header) error {
	if header.Linkname == "" {
		return badArchive("The archive's symbolic link %q leads nowhere", header.Name)
	}
	// Where it leads is the image's affair: it is never followed out of its root.
	if err := in.Symlink(header.Linkname, base); err != nil {
		return err
	}
	return u.special(in, base, header)
}

// special sets owner and time of what cannot be opened.
func (u *unpacker) special(in *os.Root, base string, header *tar.Header) error {
	claims := u.claims(header)
	if u.how.Owners.Chown {
		uid, gid := u.how.Owners.disk(claims.UID, claims.GID)
		if err := in.Lchown(base, uid, gid); err != nil {
			return err
		}
	}
	if header.Typeflag == tar.TypeFifo {
		if err := in.Chmod(base, claims.Mode); err != nil {
			return err
		}
	}
	return linkTime(in, base, header.ModTime)
}

// linkTime sets the time of a name without following it.
func linkTime(in *os.Root, base string, t time.Time) error {
	return at(in, func(dir int) error {
		spec, err := unix.TimeToTimespec(t)
		if err != nil {
			return err
		}
		return unix.UtimesNanoAt(dir, base, []unix.Timespec{spec, spec}, unix.AT_SYMLINK_NOFOLLOW)
	})
}

// hardLink gives a file of the archive a second name.
func (u *unpacker) hardLink(in *os.Root, name, base string, header *tar.Header) error {
	target, err := cleanName(header.Linkname)
	if err != nil {
		return err
	}
	if target == name {
		return nil
	}
	dir, targetBase := path.Split(target)
	walked := ""
	for part := range strings.SplitSeq(path.Clean(dir), "/") {
		walked = path.Join(walked, part)
		if info, err := u.root.Lstat(walked); err != nil || !info.IsDir() {
			return badArchive("The archive's hard link %q leads to %q, which is not in the archive before it", header.Name, header.Linkname)
		}
	}
	info, err := u.root.Lstat(path.Join(dir, targetBase))
	if err != nil || info.IsDir() || isWhiteout(info) {
		return badArchive("The archive's hard link %q leads to %q, which is no file in the archive before it", header.Name, header.Linkname)
	}
	if _, err := in.Lstat(base); err == nil {
		if err := u.replace(in, name, base); err != nil {
			return err
		}
	}
	return u.root.Link(target, name)
}

// whiteout notes that the layer removes something of those below it.
func (u *unpacker) whiteout(in *os.Root, base, full string) error {
	if base == opaqueName {
		file, err := in.Open(".")
		if err != nil {
			return err
		}
		defer file.Close()
		return setOpaque(file)
	}
	removed := strings.TrimPrefix(base, whiteoutPrefix)
	if strings.HasPrefix(removed, whiteoutPrefix) {
		return nil // aufs kept books under such names
	}
	if removed == "" || removed == "." || removed == ".." {
		return badArchive("The archive's entry %q removes no name", full)
	}
	info, err := in.Lstat(removed)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return at(in, func(dir int) error { return makeWhiteout(dir, removed) })
	case err != nil:
		return err
	case info.IsDir(): // its own content stays, what lies below is hidden
		file, err := in.Open(removed)
		if err != nil {
			return err
		}
		defer file.Close()
		return setOpaque(file)
	}
	return nil // the layer's own file hides the one below anyway
}

// attributes sets what the header says of a folder.
func (u *unpacker) attributes(in *os.Root, base, name string, header *tar.Header) error {
	u.folders[name] = header.ModTime
	return u.apply(in, base, u.claims(header), header)
}

func (u *unpacker) apply(in *os.Root, base string, a Attributes, header *tar.Header) error {
	file, err := in.OpenFile(base, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_DIRECTORY, 0)
	if err != nil {
		return err
	}
	defer file.Close()
	if err := u.how.Owners.set(file, a); err != nil {
		return err
	}
	if header == nil {
		return nil
	}
	return u.extended(file, header)
}

func (u *unpacker) claims(header *tar.Header) Attributes {
	a := Attributes{Mode: header.FileInfo().Mode() & modeBits, UID: header.Uid, GID: header.Gid, ModTime: header.ModTime}
	if !u.how.Layer {
		a.UID, a.GID = 0, 0
	}
	return a
}

// extended sets the attributes that images keep. What the file system does not take is left out, as other builders do.
func (u *unpacker) extended(file *os.File, header *tar.Header) error {
	for record, value := range header.PAXRecords {
		name, ours := strings.CutPrefix(record, "SCHILY.xattr.")
		if !ours || !kept(name) || !u.how.Layer {
			continue
		}
		bytes := []byte(value)
		if name == capabilityAttribute {
			bytes = u.how.Owners.capabilityToDisk(bytes)
		}
		err := unix.Fsetxattr(int(file.Fd()), name, bytes, 0)
		if err != nil && !errors.Is(err, unix.EPERM) && !errors.Is(err, unix.ENOTSUP) && !errors.Is(err, unix.EINVAL) {
			return err
		}
	}
	return nil
}

// at gives a system call the descriptor of a folder.
func at(in *os.Root, do func(dir int) error) error {
	dir, err := in.Open(".")
	if err != nil {
		return err
	}
	defer dir.Close()
	return do(int(dir.Fd()))
}
