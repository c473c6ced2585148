// Package disk keeps objects on a local disk: their bytes in files that never change, and what is known about them in
// a Pebble index. A file becomes an object's by the commit of its index record, which is synchronous, after the file and its folder have
// been synced; so a write is whole or absent whatever happens. Names of objects are keys of the index and never names of files.
//
// Folder layout: index/ (Pebble) and files/{epoch}/{shard}/{id}. Each start of the store begins a new epoch, so that after a
// crash only the epochs since the last sweep have to be looked through for files that nobody owns.
//
// Index keys: o{container}NUL{name} records; s{container}NUL{name}NUL{block} staged blocks; f{file} files that are owned;
// d{file} files that are to be removed; x{container} dropped containers; m… the store's own.
package disk

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/fnv"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/alvara-ml/alvara/dataplane/blob"
	"github.com/alvara-ml/alvara/resource"
	"github.com/cockroachdb/pebble/v2"
	"golang.org/x/sys/unix"
)

// Options are what Open needs.
type Options struct {
	Dir   string           // made when absent; only one process may have it open
	Clock func() time.Time // time.Now when nil
	Log   *slog.Logger     // nothing is logged when nil
	// Reserve is how many bytes of the medium stay free: writes beyond give InsufficientStorage. The index needs some
	// to go on. 0 means DefaultReserve.
	Reserve uint64
	// Free tells how many bytes are free. The file system is asked when it is nil.
	Free func() (uint64, error)
}

// DefaultReserve is the part of the medium that is kept free, in bytes.
const DefaultReserve = 64 << 20

// Store is a blob.Objects on disk. Make it with Open.
type Store struct {
	options Options
	db      *pebble.DB
	epoch   uint64

	tree  sync.RWMutex      // held for writing by what touches many names
	names [256]sync.RWMutex // by hash of container and name

	mu     sync.Mutex
	pins   map[string]int  // files that readers hold
	doomed map[string]bool // pinned files that are to be removed
	drafts int             // files that are being received

	stop    context.CancelFunc
	stopped sync.WaitGroup
}

var _ blob.Objects = (*Store)(nil)

const shards = 64

// Open opens or makes a store, and removes what a crash left behind.
func Open(options Options) (*Store, error) {
	if options.Clock == nil {
		options.Clock = time.Now
	}
	if options.Log == nil {
		options.Log = slog.New(slog.DiscardHandler)
	}
	if options.Reserve == 0 {
		options.Reserve = DefaultReserve
	}
	if options.Free == nil {
		options.Free = func() (uint64, error) { return free(options.Dir) }
	}
	if err := os.MkdirAll(filepath.Join(options.Dir, "files"), 0o700); err != nil {
		return nil, err
	}
	db, err := openIndex(options)
	if err != nil {
		return nil, fmt.Errorf("the object index in %s cannot be opened; is another process using it? %w", options.Dir, err)
	}
	s := &Store{options: options, db: db, pins: map[string]int{}, doomed: map[string]bool{}}
	if err := s.begin(); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	ctx, cancel := context.WithCancel(context.Background())
	s.stop = cancel
	s.stopped.Add(1)
	go s.expireHourly(ctx)
	return s, nil
}

func openIndex(options Options) (*pebble.DB, error) {
	cache := pebble.NewCache(8 << 20)
	defer cache.Unref()
	return pebble.Open(filepath.Join(options.Dir, "index"), &pebble.Options{
		Cache: cache, MemTableSize: 4 << 20, MaxOpenFiles: 256, FormatMajorVersion: pebble.FormatNewest,
		Logger: quiet{options.Log},
	})
}

// quiet passes only faults on: the index talks a lot.
type quiet struct{ log *slog.Logger }

func (quiet) Infof(string, ...any) {}

func (q quiet) Errorf(format string, args ...any) {
	q.log.Error("object index", "message", fmt.Sprintf(format, args...))
}

// Fatalf ends the process, as the index requires: it cannot go on with a write ahead log that it could not write.
func (q quiet) Fatalf(format string, args ...any) {
	q.log.Error("object index cannot go on", "message", fmt.Sprintf(format, args...))
	panic(fmt.Sprintf(format, args...))
}

// begin starts the next epoch and sweeps the ones before.
func (s *Store) begin() error {
	last, err := s.counter("mepoch")
	if err != nil {
		return err
	}
	s.epoch = last + 1
	if err := s.setCounter("mepoch", s.epoch); err != nil {
		return err
	}
	for i := range shards {
		if err := os.MkdirAll(s.folder(s.epoch, i), 0o700); err != nil {
			return err
		}
	}
	for _, dir := range []string{filepath.Dir(s.folder(s.epoch, 0)), filepath.Join(s.options.Dir, "files"), s.options.Dir} {
		if err := syncFolder(dir); err != nil {
			return err
		}
	}
	return s.sweep()
}

func (s *Store) counter(key string) (uint64, error) {
	value, err := s.get(key)
	if err != nil || value == nil {
		return 0, err
	}
	return strconv.ParseUint(string(value), 10, 64)
}

func (s *Store) setCounter(key string, n uint64) error {
	return s.db.Set([]byte(key), []byte(strconv.FormatUint(n, 10)), pebble.Sync)
}

// get reads a copy of a value; nil when there is none.
func (s *Store) get(key string) ([]byte, error) {
	value, closer, err := s.db.Get([]byte(key))
	if errors.Is(err, pebble.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer closer.Close() //nolint:errcheck // releases memory, cannot fail
	return append([]byte{}, value...), nil
}

// Close ends the store. Drafts and readers must be closed before.
func (s *Store) Close() error {
	s.stop()
	s.stopped.Wait()
	s.mu.Lock()
	clean := s.drafts == 0
	s.mu.Unlock()
	var err error
	if clean {
		err = s.setCounter("mswept", s.epoch)
	}
	return errors.Join(err, s.db.Close())
}

func (s *Store) folder(epoch uint64, shard int) string {
	return filepath.Join(s.options.Dir, "files", strconv.FormatUint(epoch, 10), fmt.Sprintf("%02x", shard))
}

// newFile gives a file's id: its epoch, and 16 random bytes.
func (s *Store) newFile() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	return strconv.FormatUint(s.epoch, 10) + "-" + hex.EncodeToString(b[:])
}

// pathOf gives where a file is. The shard is made of the id's first byte.
func (s *Store) pathOf(file string) string {
	epoch, id, _ := strings.Cut(file, "-")
	first, _ := strconv.ParseUint(id[:2], 16, 8) // ids come from newFile
	return filepath.Join(s.options.Dir, "files", epoch, fmt.Sprintf("%02x", first%shards), id)
}

// lock takes the locks of one name.
func (s *Store) lock(container, name string) (unlock func()) {
	l := s.nameLock(container, name)
	s.tree.RLock()
	l.Lock()
	return func() { l.Unlock(); s.tree.RUnlock() }
}

func (s *Store) rlock(container, name string) (unlock func()) {
	l := s.nameLock(container, name)
	s.tree.RLock()
	l.RLock()
	return func() { l.RUnlock(); s.tree.RUnlock() }
}

func (s *Store) nameLock(container, name string) *sync.RWMutex {
	h := fnv.New32a()
	_, _ = h.Write([]byte(container + "\x00" + name)) // never fails
	return &s.names[h.Sum32()%256]
}

// room refuses to write when the medium is nearly full.
func (s *Store) room() error {
	left, err := s.options.Free()
	if err != nil {
		return err
	}
	if left < s.options.Reserve {
		return errFull(nil)
	}
	return nil
}

func free(dir string) (uint64, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return 0, err
	}
	return st.Bavail * uint64(st.Bsize), nil //nolint:gosec // a block size is positive
}

func errFull(cause error) error {
	return resource.Errorf(resource.Unavailable, "InsufficientStorage",
		"The server has no room left for this data. Delete something, or ask the operator for more disk.").Because(cause)
}

// medium gives a full disk its own error.
func medium(err error) error {
	if errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) {
		return errFull(err)
	}
	return err
}

func syncFolder(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
