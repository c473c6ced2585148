package layer

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// RemoveTree removes a folder that a stranger may have filled: also where its folders forbid their owner to write, and where they
// are deeper than files can be open at once.
func RemoveTree(folder string) error {
	if err := os.RemoveAll(folder); err == nil {
		return nil
	}
	_ = filepath.WalkDir(folder, func(path string, entry fs.DirEntry, _ error) error {
		if entry != nil && entry.IsDir() {
			_ = os.Chmod(path, 0o700) // the removal tells what is left
		}
		return nil
	})
	for {
		err := os.RemoveAll(folder)
		if !errors.Is(err, unix.EMFILE) && !errors.Is(err, unix.ENFILE) {
			return err
		}
		if moved, failed := flatten(folder); failed != nil || moved == 0 {
			return errors.Join(err, failed)
		}
	}
}

// flatDepth is how many folders stand in each other in what flatten leaves, at the top: few enough for one path.
const flatDepth = 8

// flatten moves what lies deep in a folder to its top, in one pass of many.
func flatten(folder string) (moved int, err error) {
	err = filepath.WalkDir(folder, func(path string, entry fs.DirEntry, failed error) error {
		if failed != nil || !entry.IsDir() {
			return failed
		}
		_ = os.Chmod(path, 0o700) // what is not its owner's to change, the renaming tells
		below, err := filepath.Rel(folder, path)
		if err != nil || strings.Count(below, string(filepath.Separator)) < flatDepth {
			return err
		}
		for n := 0; ; n++ {
			err := os.Rename(path, filepath.Join(folder, fmt.Sprintf("deep-%d-%d", moved, n)))
			if errors.Is(err, fs.ErrExist) || errors.Is(err, unix.ENOTEMPTY) || errors.Is(err, unix.ENOTDIR) {
				continue
			}
			if err == nil {
				moved++
				err = fs.SkipDir
			}
			return err
		}
	})
	return moved, err
}
