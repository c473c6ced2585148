package launch

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path"
	"unicode/utf8"

	"golang.org/x/sys/unix"

	"github.com/alvara-ml/alvara/resource"
	"github.com/alvara-ml/alvara/workload"
)

// What a run leaves is a stranger's: links that lead anywhere, pipes that never end, names that are none, folders without a bottom. It is
// read below a root that nothing gets out of, and only regular files are regarded.

// longestName is how long the path of a file may be that is kept, in bytes: as long as the names of storage.
const longestName = 1024

// left is one file that a run has left.
type left struct {
	path string // below the folder, with slashes
	size int64
}

// skipped tells of what is not kept, and why.
type skipped func(name, why string)

// walk tells of each regular file below a folder. What is not regular, or has no proper name, is skipped. What each returns ends it.
func walk(root *os.Root, skip skipped, each func(left) error) error {
	return walkFolder(root, "", skip, each)
}

// listed is how many entries of a folder are read at once.
const listed = 1000

func walkFolder(root *os.Root, folder string, skip skipped, each func(left) error) error {
	opened, err := openAnyhow(root, path.Join(".", folder), unix.O_DIRECTORY)
	if err != nil {
		skip(folder, "it cannot be read")
		return nil
	}
	defer func() { _ = opened.Close() }() // only read
	var folders []string
	for {
		entries, err := opened.ReadDir(listed)
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		for _, entry := range entries {
			name := path.Join(folder, entry.Name())
			switch {
			case !utf8.ValidString(name) || len(name) > longestName:
				skip(name[:min(len(name), 100)], "its path is longer than 1024 bytes, or no text in UTF-8")
			case entry.IsDir():
				folders = append(folders, name)
			case !entry.Type().IsRegular():
				skip(name, "it is no file")
			default:
				info, err := entry.Info()
				if err != nil {
					continue // gone
				}
				if err := each(left{path: name, size: info.Size()}); err != nil {
					return err
				}
			}
		}
		if len(entries) == 0 || err != nil {
			break
		}
	}
	for _, name := range folders {
		if err := walkFolder(root, name, skip, each); err != nil {
			return err
		}
	}
	return nil
}

// openLeft opens a folder below one of the launcher's own, in whose place a run may have put something else. Errors: fs.ErrNotExist.
func openLeft(folder, name string) (*os.Root, error) {
	above, err := os.OpenRoot(folder)
	if err != nil {
		return nil, err
	}
	defer func() { _ = above.Close() }() // only read
	info, err := above.Lstat(name)
	if err != nil {
		return nil, err
	}
	if !info.IsDir() {
		return nil, fs.ErrNotExist
	}
	return above.OpenRoot(name)
}

var errEnough = errors.New("enough")

// Artifacts implements workload.Launched. There are at most as many as Limits.Entries.
func (r *launched) Artifacts() ([]workload.Artifact, error) {
	root, err := openLeft(r.at.outside.code, outputsName)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer func() { _ = root.Close() }() // only read
	var found []workload.Artifact
	most := r.launcher.Limits.withDefaults().Entries
	err = walk(root, func(string, string) {}, func(file left) error {
		if len(found) == most {
			return errEnough
		}
		found = append(found, workload.Artifact{Path: file.path, Size: file.size})
		return nil
	})
	if errors.Is(err, errEnough) {
		err = nil
	}
	return found, err
}

// OpenArtifact implements workload.Launched.
func (r *launched) OpenArtifact(name string) (io.ReadCloser, error) {
	missing := resource.NotFoundf("ArtifactNotFound", "The run %q has left no file %q in its folder outputs.", r.ID(), name)
	root, err := openLeft(r.at.outside.code, outputsName)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, missing
	}
	if err != nil {
		return nil, err
	}
	defer func() { _ = root.Close() }() // the file does not need it
	file, _, err := openRegular(root, name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, missing.Because(err)
	}
	return file, err
}
