package build

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/alvara-ml/alvara/image/layer"
)

// Cache keeps what steps made. It belongs to one registry: its folder is that registry's alone, so nothing of one serves
// another's builds. Several builds may use it at once; an entry is there whole or not at all.
type Cache struct {
	Dir string // made when absent
}

// entry is what a step made: a layer, or nothing when Entries is 0.
type entry struct {
	layer.Made
}

// keyOf names a step by all that it depends on: the layers below it and what it does. Two steps with one key make the same.
func keyOf(below []string, what any) (string, error) {
	text, err := json.Marshal(struct {
		Version int
		Below   []string
		What    any
	}{1, below, what})
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:]), nil
}

func (c *Cache) blob(digest string) string {
	return filepath.Join(c.Dir, "blobs", strings.TrimPrefix(digest, "sha256:"))
}

func (c *Cache) step(key string) string { return filepath.Join(c.Dir, "steps", key) }

// find gives what a step made before, if its layer is still here whole.
func (c *Cache) find(key string) (entry, bool) {
	text, err := os.ReadFile(c.step(key))
	var e entry
	if err != nil || json.Unmarshal(text, &e) != nil {
		return entry{}, false
	}
	if e.Entries > 0 {
		if info, err := os.Stat(c.blob(e.Digest)); err != nil || info.Size() != e.Size {
			return entry{}, false
		}
	}
	return e, true
}

// keep notes what a step made. write writes the layer's archive.
func (c *Cache) keep(key string, write func(archive io.Writer) (layer.Made, error)) (made entry, err error) {
	for _, folder := range []string{"blobs", "steps"} {
		if err := os.MkdirAll(filepath.Join(c.Dir, folder), 0o700); err != nil {
			return entry{}, err
		}
	}
	file, err := os.CreateTemp(filepath.Join(c.Dir, "blobs"), "new-*")
	if err != nil {
		return entry{}, err
	}
	defer func() {
		if removeErr := os.Remove(file.Name()); !errors.Is(removeErr, fs.ErrNotExist) {
			err = errors.Join(err, removeErr)
		}
	}()
	made.Made, err = write(file)
	if closing := file.Close(); err == nil {
		err = closing
	}
	if err != nil {
		return entry{}, err
	}
	if made.Entries > 0 {
		if err := os.Rename(file.Name(), c.blob(made.Digest)); err != nil {
			return entry{}, err
		}
	}
	text, err := json.Marshal(made)
	if err != nil {
		return entry{}, err
	}
	note, err := os.CreateTemp(filepath.Join(c.Dir, "steps"), "new-*")
	if err != nil {
		return entry{}, err
	}
	_, err = note.Write(text)
	if closing := note.Close(); err == nil {
		err = closing
	}
	if err == nil {
		err = os.Rename(note.Name(), c.step(key))
	}
	return made, err
}

// mount gives a folder that cache mounts of one id share.
func (c *Cache) mount(id string) (string, error) {
	sum := sha256.Sum256([]byte(id))
	folder := filepath.Join(c.Dir, "mounts", hex.EncodeToString(sum[:]))
	return folder, os.MkdirAll(folder, 0o700)
}
