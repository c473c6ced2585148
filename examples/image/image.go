// Package image is the example of an image build: a folder to copy, and a base image made of this machine's own shell, so
// that it needs no registry elsewhere.
package image

import (
	"debug/elf"
	"embed"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

//go:embed score
var files embed.FS

// Copy writes the example's folder into a folder.
func Copy(dir string) error {
	return fs.WalkDir(files, "score", func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		target := filepath.Join(dir, filepath.FromSlash(path))
		if entry.IsDir() {
			return os.MkdirAll(target, 0o755)
		}
		text, err := files.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(target, text, 0o644)
	})
}

// Shell writes the context of a base image into a folder: a Dockerfile, and below rootfs this machine's /bin/sh with the
// libraries that it is linked to.
func Shell(dir string) error {
	return Programs(dir, map[string]string{"/bin/sh": "/bin/sh"}, "FROM scratch\nCOPY rootfs /\nENV PATH=/bin\nCMD [\"/bin/sh\"]\n")
}

// Programs writes the context of an image into a folder: the Dockerfile, and below rootfs programs of this machine, by the places
// where they are here, at places in the image, with the libraries that they are linked to.
func Programs(dir string, programs map[string]string, dockerfile string) error {
	if err := os.RemoveAll(dir); err != nil {
		return err
	}
	root, done := filepath.Join(dir, "rootfs"), map[string]bool{}
	for from, to := range programs {
		if err := copyProgram(from, to, root, done); err != nil {
			return fmt.Errorf("this machine's %s cannot be copied: %w", from, err)
		}
	}
	if err := os.MkdirAll(filepath.Join(root, "tmp"), 0o755); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "Dockerfile"), []byte(dockerfile), 0o644)
}

// copyProgram copies an ELF file to a place below a folder, and all that its loader needs to the places where it looks.
func copyProgram(path, to, root string, done map[string]bool) error {
	if done[path] {
		return nil
	}
	done[path] = true
	if err := copyFile(path, filepath.Join(root, to)); err != nil {
		return err
	}
	file, err := elf.Open(path)
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }() // only read
	for _, segment := range file.Progs {
		if segment.Type != elf.PT_INTERP {
			continue
		}
		name, err := io.ReadAll(segment.Open())
		if err != nil {
			return err
		}
		loader := string(name[:max(len(name)-1, 0)]) // it ends with a zero byte
		if err := copyProgram(loader, loader, root, done); err != nil {
			return err
		}
	}
	libraries, err := file.ImportedLibraries()
	if err != nil {
		return err
	}
	for _, library := range libraries {
		found, err := find(library)
		if err != nil {
			return err
		}
		if err := copyProgram(found, found, root, done); err != nil {
			return err
		}
	}
	return nil
}

// find looks a library up where loaders look.
func find(library string) (string, error) {
	for _, pattern := range []string{"/lib/*-linux-*", "/usr/lib/*-linux-*", "/lib64", "/usr/lib64", "/lib", "/usr/lib"} {
		found, err := filepath.Glob(filepath.Join(pattern, library))
		if err != nil {
			return "", err
		}
		if len(found) > 0 {
			return found[0], nil
		}
	}
	return "", errors.New("the library " + library + " is in none of the usual folders")
}

func copyFile(from, to string) error {
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer func() { _ = in.Close() }() // only read
	out, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o755)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}
