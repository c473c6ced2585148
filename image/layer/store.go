package layer

import (
	"bufio"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/alvara-ml/alvara/resource"
)

// Store keeps unpacked layers by the digest of their archive before compression (diff id, "sha256:…"), each once for
// everybody, and gives temporary folders. Several processes may use one folder at once: a layer appears whole or not
// at all, whatever is killed. Who may use a layer is not its affair: it answers whoever knows the diff id.
type Store struct {
	Dir    string // made when absent, readable by its owner alone
	Owners Owners
	// MaxBytes and MaxEntries bound one layer; 0 does not.
	MaxBytes   int64
	MaxEntries int
	Clock      func() time.Time
}

// Held is a layer in use: it is not evicted until Release.
type Held struct {
	Folder string // the unpacked files
	lock   *os.File
}

// Lock is the file whose lock, shared, keeps the layer: another process that takes it before Release holds the layer on.
func (h *Held) Lock() string { return h.lock.Name() }

// Release lets go of the layer.
func (h *Held) Release() {
	if h.lock != nil {
		_ = h.lock.Close() // gives the lock back
		h.lock = nil
	}
}

func (s *Store) place(kind, name string) string { return filepath.Join(s.Dir, kind, name) }

func (s *Store) prepare() error {
	for _, kind := range []string{"layers", "locks", "tmp"} {
		if err := os.MkdirAll(filepath.Join(s.Dir, kind), 0o700); err != nil {
			return err
		}
	}
	return nil
}

// key is a diff id as a file name.
func key(diffID string) (string, error) {
	algorithm, sum, ok := strings.Cut(diffID, ":")
	if raw, err := hex.DecodeString(sum); !ok || err != nil || algorithm != "sha256" || len(raw) != sha256.Size || strings.ToLower(sum) != sum {
		return "", resource.Invalidf("InvalidImage", "The digest %q of a layer is none; it must be sha256 and 64 hexadecimal digits.", diffID)
	}
	return sum, nil
}

// Temp makes an empty folder below the store's, on the same file system. remove removes it; what a killed process
// leaves, Clean removes.
func (s *Store) Temp() (folder string, remove func(), err error) {
	if err := s.prepare(); err != nil {
		return "", nil, err
	}
	folder, err = os.MkdirTemp(filepath.Join(s.Dir, "tmp"), "t")
	if err != nil {
		return "", nil, err
	}
	lock, err := os.OpenFile(folder+".lock", os.O_CREATE|os.O_RDWR, 0o600)
	if err == nil {
		err = unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	}
	if err != nil {
		return "", nil, errors.Join(err, os.RemoveAll(folder))
	}
	return folder, func() {
		_ = RemoveTree(folder) // Clean tries again
		_ = os.Remove(folder + ".lock")
		_ = lock.Close() // gives the lock back
	}, nil
}

// Clean removes the temporary folders of processes that are gone.
func (s *Store) Clean() error {
	entries, err := os.ReadDir(filepath.Join(s.Dir, "tmp"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	for _, entry := range entries {
		folder := s.place("tmp", entry.Name())
		if strings.HasSuffix(folder, ".lock") {
			continue
		}
		info, statErr := entry.Info()
		lock, openErr := os.OpenFile(folder+".lock", os.O_RDWR, 0o600)
		if openErr != nil { // being made at this moment, unless it is old
			if statErr == nil && time.Since(info.ModTime()) > time.Hour {
				err = errors.Join(err, RemoveTree(folder))
			}
			continue
		}
		if unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB) == nil {
			err = errors.Join(err, RemoveTree(folder), os.Remove(folder+".lock"))
		}
		_ = lock.Close() // gives the lock back
	}
	return err
}

// lock takes a layer's lock: shared when the layer is there, alone when it is to be made. Who waits looks again and again,
// because the one who makes a layer keeps using it, and two builds may each want what the other has. Locks are of open
// files: two builds of one process exclude each other like two processes.
func (s *Store) lock(ctx context.Context, name string) (lock *os.File, there bool, err error) {
	if err := s.prepare(); err != nil {
		return nil, false, err
	}
	file, err := os.OpenFile(s.place("locks", name), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, false, err
	}
	for wait := time.Millisecond; ; wait = min(2*wait, 50*time.Millisecond) {
		how := unix.LOCK_EX
		if s.exists(name) {
			how = unix.LOCK_SH
		}
		err := unix.Flock(int(file.Fd()), how|unix.LOCK_NB)
		switch {
		case err == nil && s.exists(name) == (how == unix.LOCK_SH):
			return file, how == unix.LOCK_SH, nil
		case err == nil: // made or evicted meanwhile
			err = unix.Flock(int(file.Fd()), unix.LOCK_UN)
		case errors.Is(err, unix.EWOULDBLOCK), errors.Is(err, unix.EINTR):
			err = nil
		}
		if err != nil {
			return nil, false, errors.Join(err, file.Close())
		}
		select {
		case <-ctx.Done():
			return nil, false, errors.Join(ctx.Err(), file.Close())
		case <-time.After(wait):
		}
	}
}

func (s *Store) exists(name string) bool {
	_, err := os.Stat(s.place("layers", name))
	return err == nil
}

// Get gives a layer, and unpacks it when it is not there. open gives the archive before compression; its digest must be
// diffID, otherwise the layer is an Invalid error and nothing is kept. Several that ask for one layer at once unpack it once.
func (s *Store) Get(ctx context.Context, diffID string, open func() (io.ReadCloser, error)) (*Held, error) {
	name, err := key(diffID)
	if err != nil {
		return nil, err
	}
	lock, there, err := s.lock(ctx, name)
	if err != nil {
		return nil, err
	}
	if !there {
		if err := s.unpack(ctx, name, diffID, open); err != nil {
			return nil, errors.Join(err, lock.Close())
		}
	}
	return s.share(name, lock)
}

// Has says whether a layer is unpacked.
func (s *Store) Has(diffID string) bool {
	name, err := key(diffID)
	if err != nil {
		return false
	}
	return s.exists(name)
}

// share turns a lock into one that others can have too, and notes the use.
func (s *Store) share(name string, lock *os.File) (*Held, error) {
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_SH); err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	now := s.Clock()
	if err := os.Chtimes(s.place("layers", name), now, now); err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	return &Held{Folder: filepath.Join(s.place("layers", name), "fs"), lock: lock}, nil
}

func (s *Store) unpack(ctx context.Context, name, diffID string, open func() (io.ReadCloser, error)) error {
	temp, remove, err := s.Temp()
	if err != nil {
		return err
	}
	defer remove()
	files := filepath.Join(temp, "fs")
	root, err := s.newRoot(files)
	if err != nil {
		return err
	}
	defer root.Close()
	stream, err := open()
	if err != nil {
		return err
	}
	defer stream.Close()
	sum := sha256.New()
	reader := &counted{r: io.TeeReader(stream, sum), max: s.MaxBytes}
	err = Unpack(ctx, reader, root, Unpacking{Owners: s.Owners, Layer: true, MaxBytes: s.MaxBytes, MaxEntries: s.MaxEntries})
	if err == nil {
		_, err = io.Copy(io.Discard, contextReader{ctx, reader}) // what follows the archive's end is part of the digest
	}
	if err != nil {
		return fmt.Errorf("unpack layer %s: %w", diffID, err)
	}
	if got := hex.EncodeToString(sum.Sum(nil)); got != name {
		return resource.Invalidf("InvalidImage", "A layer says that it is %s and is sha256:%s; the image is damaged, or its registry is.", diffID, got)
	}
	return os.Rename(temp, s.place("layers", name))
}

// counted ends a stream that goes on behind its archive, where no entry is counted.
type counted struct {
	r   io.Reader
	n   int64
	max int64
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	// Headers and padding take at most four times what small files take, and an archive may be all small files.
	if c.n += int64(n); c.max > 0 && c.n > 4*c.max+64<<20 {
		return n, tooLarge("The archive is larger than %d bytes", 4*c.max)
	}
	return n, err
}

func (s *Store) newRoot(folder string) (*os.Root, error) {
	if err := os.Mkdir(folder, 0o755); err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(folder)
	if err != nil {
		return nil, err
	}
	file, err := root.Open(".")
	if err == nil {
		err = s.Owners.set(file, Attributes{Mode: 0o755})
		_ = file.Close() // nothing was written
	}
	if err != nil {
		return nil, errors.Join(err, root.Close())
	}
	return root, nil
}

// Fresh makes an empty folder for the changes of a step, below a temporary one. work is an empty folder beside it, for
// overlays.
func (s *Store) Fresh() (upper, work string, remove func(), err error) {
	temp, remove, err := s.Temp()
	if err != nil {
		return "", "", nil, err
	}
	upper, work = filepath.Join(temp, "fs"), filepath.Join(temp, "work")
	root, err := s.newRoot(upper)
	if err == nil {
		err = root.Close()
	}
	if err == nil {
		err = os.Mkdir(work, 0o700)
	}
	if err != nil {
		remove()
		return "", "", nil, err
	}
	return upper, work, remove, nil
}

// Made is a layer that was made of changes.
type Made struct {
	DiffID  string
	Digest  string // of the compressed archive
	Size    int64  // bytes of the compressed archive
	Entries int    // 0: nothing was changed
}

// Keep makes a layer of the changes in a folder that Fresh gave, writes its compressed archive to archive, and keeps the folder as the
// unpacked layer. The same changes give the same layer.
func (s *Store) Keep(ctx context.Context, upper string, archive io.Writer, how Packing) (Made, error) {
	root, err := os.OpenRoot(upper)
	if err != nil {
		return Made{}, err
	}
	defer root.Close()
	how.Owners = s.Owners
	var made Made
	plain, packed := sha256.New(), &summed{w: bufio.NewWriterSize(archive, 1<<20), sum: sha256.New()}
	zip, err := gzip.NewWriterLevel(packed, gzip.BestSpeed) // a header without name and time
	if err != nil {
		return Made{}, err
	}
	made.Entries, err = Pack(ctx, io.MultiWriter(plain, zip), root, how)
	if err == nil {
		err = zip.Close()
	}
	if err == nil {
		err = packed.w.Flush()
	}
	if err != nil {
		return Made{}, err
	}
	name := hex.EncodeToString(plain.Sum(nil))
	made.DiffID, made.Digest, made.Size = "sha256:"+name, "sha256:"+hex.EncodeToString(packed.sum.Sum(nil)), packed.n
	lock, there, err := s.lock(ctx, name)
	if err != nil {
		return Made{}, err
	}
	defer lock.Close()
	if there {
		return made, nil
	}
	if err := RemoveTree(filepath.Join(filepath.Dir(upper), "work")); err != nil {
		return Made{}, err
	}
	// The temporary folder is moved as a whole; its lock file is removed by whoever made it.
	return made, os.Rename(filepath.Dir(upper), s.place("layers", name))
}

type summed struct {
	w   *bufio.Writer
	sum hash.Hash
	n   int64
}

func (s *summed) Write(p []byte) (int, error) {
	n, err := s.w.Write(p)
	s.sum.Write(p[:n])
	s.n += int64(n)
	return n, err
}

// Evict removes layers that nobody uses, the longest unused first, until all that remain were used since a time or at most
// keep are left. It returns how many were removed.
func (s *Store) Evict(since time.Time, keep int) (removed int, err error) {
	entries, err := os.ReadDir(filepath.Join(s.Dir, "layers"))
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			err = nil
		}
		return 0, err
	}
	type unused struct {
		name string
		last time.Time
	}
	var old []unused
	for _, entry := range entries {
		if info, err := entry.Info(); err == nil && info.ModTime().Before(since) {
			old = append(old, unused{entry.Name(), info.ModTime()})
		}
	}
	slices.SortFunc(old, func(a, b unused) int { return a.last.Compare(b.last) })
	old = old[:max(0, min(len(old), len(entries)-keep))]
	for _, layer := range old {
		gone, evictErr := s.evict(layer.name)
		err = errors.Join(err, evictErr)
		if gone {
			removed++
		}
	}
	return removed, err
}

func (s *Store) evict(name string) (bool, error) {
	lock, err := os.OpenFile(s.place("locks", name), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return false, err
	}
	defer lock.Close()
	if unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB) != nil {
		return false, nil // in use
	}
	temp, remove, err := s.Temp()
	if err != nil {
		return false, err
	}
	defer remove() // away first, so that no half layer is ever seen
	return true, os.Rename(s.place("layers", name), filepath.Join(temp, "evicted"))
}
