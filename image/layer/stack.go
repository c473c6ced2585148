package layer

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// Tree is a tree of files that can be looked at: a stack of layers, or a plain folder such as a context. Names are slash-
// separated and relative; "." is the root. Links are never followed, but by Resolve, and never out of the tree.
type Tree interface {
	// Lstat gives what is at a name that leads through no link; fs.ErrNotExist when there is nothing.
	Lstat(name string) (Info, error)
	// Names gives what a folder holds, sorted.
	Names(folder string) ([]string, error)
	// Open opens a regular file.
	Open(name string) (*os.File, error)
}

// Info is what a tree has at a name.
type Info struct {
	Attributes
	Type fs.FileMode // the type bits
	Size int64       // of a regular file
	Link string      // where a symbolic link leads
}

// IsDir says whether it is a folder.
func (i Info) IsDir() bool { return i.Type.IsDir() }

const maxLinks = 40

// Resolve follows the links of a name as a process whose root is the tree's would: absolute ones begin at the root, ".." does
// not leave it. The result leads through no link; what does not exist yet is kept as it is. With last the name's own
// last part is followed too.
func Resolve(t Tree, name string, last bool) (string, error) {
	rest := strings.Split(path.Clean("/" + name)[1:], "/")
	at, links := ".", 0
	for len(rest) > 0 {
		part := rest[0]
		rest = rest[1:]
		switch part {
		case "", ".":
			continue
		case "..":
			at = path.Dir(at)
			continue
		}
		next := path.Join(at, part)
		info, err := t.Lstat(next)
		if errors.Is(err, fs.ErrNotExist) || err == nil && (info.Type&fs.ModeSymlink == 0 || len(rest) == 0 && !last) {
			at = next
			continue
		}
		if err != nil {
			return "", err
		}
		if links++; links > maxLinks {
			return "", &fs.PathError{Op: "resolve", Path: name, Err: unix.ELOOP}
		}
		if strings.HasPrefix(info.Link, "/") {
			at = "."
		}
		rest = append(strings.Split(info.Link, "/"), rest...)
	}
	return at, nil
}

// Stack is layers on top of each other, seen as one tree. It is not for concurrent use.
type Stack struct {
	owners Owners
	roots  []*os.Root // the topmost first
	upper  bool       // roots[0] is being written
	found  map[string][]int
}

// OpenStack opens unpacked layers, the lowest first.
func OpenStack(owners Owners, folders []string) (*Stack, error) {
	s := &Stack{owners: owners, found: map[string][]int{}}
	for _, folder := range slices.Backward(folders) {
		root, err := os.OpenRoot(folder)
		if err != nil {
			s.Close()
			return nil, err
		}
		s.roots = append(s.roots, root)
	}
	return s, nil
}

// Close gives the folders back.
func (s *Stack) Close() {
	for _, root := range s.roots {
		_ = root.Close() // opened for reading
	}
}

// Lstat implements Tree.
func (s *Stack) Lstat(name string) (Info, error) {
	name = path.Clean(name)
	if name == "." {
		if len(s.roots) == 0 {
			return Info{Attributes: Attributes{Mode: 0o755}, Type: fs.ModeDir}, nil
		}
		return s.info(s.roots[0], ".")
	}
	layers, err := s.folder(path.Dir(name))
	if err != nil {
		return Info{}, missing("lstat", name, err)
	}
	for _, i := range layers {
		info, err := s.roots[i].Lstat(name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return Info{}, err
		}
		if isWhiteout(info) {
			break
		}
		return s.info(s.roots[i], name)
	}
	return Info{}, &fs.PathError{Op: "lstat", Path: name, Err: fs.ErrNotExist}
}

func missing(op, name string, err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return &fs.PathError{Op: op, Path: name, Err: fs.ErrNotExist}
	}
	return err
}

// folder gives the layers that hold a part of a folder, the topmost first; fs.ErrNotExist when it is none.
func (s *Stack) folder(name string) ([]int, error) {
	if layers, known := s.found[name]; known {
		if len(layers) == 0 {
			return nil, fs.ErrNotExist
		}
		return layers, nil
	}
	candidates := make([]int, len(s.roots))
	for i := range candidates {
		candidates[i] = i
	}
	if name != "." {
		var err error
		if candidates, err = s.folder(path.Dir(name)); err != nil {
			return nil, err
		}
	}
	var layers []int
	for _, i := range candidates {
		info, err := s.roots[i].Lstat(name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if !info.IsDir() { // a file or a mark hides what lies below
			break
		}
		layers = append(layers, i)
		hides, err := opaque(s.roots[i], name)
		if err != nil {
			return nil, err
		}
		if hides {
			break
		}
	}
	if !s.upper { // what is being written changes
		s.found[name] = layers
	}
	if len(layers) == 0 && name != "." {
		return nil, fs.ErrNotExist
	}
	return layers, nil
}

func opaque(root *os.Root, name string) (bool, error) {
	file, err := openFolder(root, name)
	if err != nil {
		return false, err
	}
	defer file.Close()
	return isOpaque(file), nil
}

func openFolder(root *os.Root, name string) (*os.File, error) {
	return root.OpenFile(name, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_DIRECTORY, 0)
}

// Names implements Tree.
func (s *Stack) Names(folder string) ([]string, error) {
	layers, err := s.folder(path.Clean(folder))
	if err != nil {
		return nil, missing("readdir", folder, err)
	}
	hidden := map[string]bool{}
	var names []string
	for _, i := range layers {
		file, err := openFolder(s.roots[i], folder)
		if err != nil {
			return nil, err
		}
		entries, err := file.ReadDir(-1)
		_ = file.Close() // opened for reading
		if err != nil {
			return nil, err
		}
		for _, entry := range entries {
			if hidden[entry.Name()] {
				continue
			}
			hidden[entry.Name()] = true
			if entry.Type()&fs.ModeCharDevice != 0 {
				if info, err := entry.Info(); err != nil {
					return nil, err
				} else if isWhiteout(info) {
					continue
				}
			}
			names = append(names, entry.Name())
		}
	}
	slices.Sort(names)
	return names, nil
}

// Open implements Tree.
func (s *Stack) Open(name string) (*os.File, error) {
	layers, err := s.folder(path.Dir(path.Clean(name)))
	if err != nil {
		return nil, missing("open", name, err)
	}
	for _, i := range layers {
		info, err := s.roots[i].Lstat(name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if !info.Mode().IsRegular() {
			break
		}
		return openFile(s.roots[i], name)
	}
	return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
}

func openFile(root *os.Root, name string) (*os.File, error) {
	return root.OpenFile(name, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
}

func (s *Stack) info(root *os.Root, name string) (Info, error) { return infoOf(root, name, s.owners) }

func infoOf(root *os.Root, name string, owners Owners) (Info, error) {
	info, err := root.Lstat(name)
	if err != nil {
		return Info{}, err
	}
	i := Info{Type: info.Mode().Type()}
	var file *os.File
	if !owners.Chown && (info.IsDir() || info.Mode().IsRegular()) {
		if file, err = openFile(root, name); err != nil {
			return Info{}, err
		}
		defer file.Close()
	}
	i.Attributes = owners.get(file, info)
	switch {
	case info.Mode().IsRegular():
		i.Size = info.Size()
	case info.Mode()&fs.ModeSymlink != 0:
		i.Link, err = root.Readlink(name)
	}
	return i, err
}

// Folder is a plain folder as a Tree.
type Folder struct {
	Root   *os.Root
	Owners Owners
}

// Lstat implements Tree.
func (f Folder) Lstat(name string) (Info, error) { return infoOf(f.Root, name, f.Owners) }

// Names implements Tree.
func (f Folder) Names(folder string) ([]string, error) {
	file, err := openFolder(f.Root, folder)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	names, err := file.Readdirnames(-1)
	slices.Sort(names)
	return names, err
}

// Open implements Tree.
func (f Folder) Open(name string) (*os.File, error) {
	file, err := openFile(f.Root, name)
	if err != nil {
		return nil, err
	}
	if info, err := file.Stat(); err != nil || !info.Mode().IsRegular() {
		_ = file.Close() // opened for reading
		return nil, errors.Join(err, &fs.PathError{Op: "open", Path: name, Err: fs.ErrInvalid})
	}
	return file, nil
}

// ReadFile reads a file of a tree, up to max bytes.
func ReadFile(t Tree, name string, max int64) ([]byte, error) {
	file, err := t.Open(name)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	text, err := io.ReadAll(io.LimitReader(file, max+1))
	if err == nil && int64(len(text)) > max {
		return nil, tooLarge("The file %s is larger than %d bytes", name, max)
	}
	return text, err
}
