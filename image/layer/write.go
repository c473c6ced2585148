package layer

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path"
	"time"

	"golang.org/x/sys/unix"

	"github.com/alvara-ml/alvara/resource"
)

// Changes is a layer that is being written on top of others. Names are relative and clean; they must lead through no link
// (Resolve with Tree). It is not for concurrent use.
type Changes struct {
	owners Owners
	root   *os.Root
	stack  *Stack
	made   map[string]bool // folders that are known to be in it
}

// Begin opens an empty folder as the layer on top of others, the lowest first. The folder gets the root's attributes.
func Begin(owners Owners, upper string, lower []string) (*Changes, error) {
	stack, err := OpenStack(owners, append(append([]string(nil), lower...), upper))
	if err != nil {
		return nil, err
	}
	stack.upper = true
	c := &Changes{owners: owners, root: stack.roots[0], stack: stack, made: map[string]bool{".": true}}
	below := Attributes{Mode: 0o755}
	if len(lower) > 0 {
		info, err := infoOf(stack.roots[1], ".", owners)
		if err != nil {
			c.Close()
			return nil, err
		}
		below = info.Attributes
	}
	if err := c.setFolder(".", below); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

// Close gives the folders back.
func (c *Changes) Close() { c.stack.Close() }

// Tree is what the layers below and the changes are together.
func (c *Changes) Tree() Tree { return c.stack }

// Folder makes a folder, and those above it, unless it exists; a makes the new ones' attributes. Something else in its
// place is an Invalid error.
func (c *Changes) Folder(name string, a Attributes) error {
	if c.made[name] {
		return nil
	}
	if err := c.Folder(path.Dir(name), a); err != nil {
		return err
	}
	info, err := c.stack.Lstat(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return err
	case !info.IsDir():
		return resource.Invalidf("InvalidCopy", "/%s is no folder in the image; nothing can be put into it.", name)
	default:
		a = info.Attributes // it is there; the layer repeats it
	}
	own, err := c.root.Lstat(name)
	if err == nil && own.IsDir() {
		c.made[name] = true
		return nil
	}
	removed := err == nil // by Remove
	if removed {
		if err := c.root.Remove(name); err != nil {
			return err
		}
	}
	if err := c.root.Mkdir(name, 0o700); err != nil {
		return err
	}
	if removed {
		if err := c.hide(name); err != nil {
			return err
		}
	}
	c.made[name] = true
	return c.setFolder(name, a)
}

func (c *Changes) hide(name string) error {
	file, err := openFolder(c.root, name)
	if err != nil {
		return err
	}
	defer file.Close()
	return setOpaque(file)
}

// Remove takes away what the layers below have at a name.
func (c *Changes) Remove(name string) error {
	if err := c.parents(name); err != nil {
		return err
	}
	dir, err := openFolder(c.root, path.Dir(name))
	if err != nil {
		return err
	}
	defer dir.Close()
	return makeWhiteout(int(dir.Fd()), path.Base(name))
}

// Fit gives a folder of the changes new attributes.
func (c *Changes) Fit(name string, a Attributes) error {
	if err := c.Folder(name, a); err != nil {
		return err
	}
	return c.setFolder(name, a)
}

func (c *Changes) setFolder(name string, a Attributes) error {
	file, err := openFolder(c.root, name)
	if err != nil {
		return err
	}
	defer file.Close()
	return c.owners.set(file, a)
}

// parents makes the folder that something is put into.
func (c *Changes) parents(name string) error {
	return c.Folder(path.Dir(name), Attributes{Mode: 0o755})
}

// room makes sure that a file can be put at a name. A folder there is an Invalid error.
func (c *Changes) room(name string) error {
	if err := c.parents(name); err != nil {
		return err
	}
	info, err := c.stack.Lstat(name)
	if err == nil && info.IsDir() || name == "." {
		return resource.Invalidf("InvalidCopy", "/%s is a folder in the image; a file cannot take its place.", name)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := c.root.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// File writes a regular file, in place of another one.
func (c *Changes) File(name string, content io.Reader, a Attributes) error {
	if err := c.room(name); err != nil {
		return err
	}
	file, err := c.root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(file, content)
	if err == nil {
		err = c.owners.set(file, a)
	}
	if closing := file.Close(); err == nil {
		err = closing
	}
	return err
}

// Link writes a symbolic link, in place of a file.
func (c *Changes) Link(name, target string, a Attributes) error {
	if err := c.room(name); err != nil {
		return err
	}
	if err := c.root.Symlink(target, name); err != nil {
		return err
	}
	if !c.owners.Chown {
		return nil
	}
	uid, gid := c.owners.disk(a.UID, a.GID)
	return c.root.Lchown(name, uid, gid)
}

// HardLink gives a file of the changes a second name.
func (c *Changes) HardLink(name, target string) error {
	if info, err := c.root.Lstat(target); err != nil || !info.Mode().IsRegular() {
		return badArchive("The hard link %q leads to %q, which is no file before it", name, target)
	}
	if name == target {
		return nil
	}
	if err := c.room(name); err != nil {
		return err
	}
	return c.root.Link(target, name)
}

// Time gives something in the changes its time. Writing into a folder afterwards changes the folder's.
func (c *Changes) Time(name string, t time.Time) error {
	dir, err := openFolder(c.root, path.Dir(name))
	if err != nil {
		return err
	}
	defer dir.Close()
	spec, err := unix.TimeToTimespec(t)
	if err != nil {
		return err
	}
	return unix.UtimesNanoAt(int(dir.Fd()), path.Base(name), []unix.Timespec{spec, spec}, unix.AT_SYMLINK_NOFOLLOW)
}
