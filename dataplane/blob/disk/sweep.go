package disk

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/cockroachdb/pebble/v2"
)

// sweep removes what a crash left: files that no record owns, files that were given up, and the rest of dropped containers.
func (s *Store) sweep() error {
	swept, err := s.counter("mswept")
	if err != nil {
		return err
	}
	for epoch := swept + 1; epoch < s.epoch; epoch++ {
		if err := s.sweepEpoch(epoch); err != nil {
			return err
		}
	}
	if err := s.each("d", func(key string, _ []byte) error {
		s.erase(key[1:])
		return nil
	}); err != nil {
		return err
	}
	if err := s.each("x", func(key string, value []byte) error {
		if string(value) == dropDone {
			return nil
		}
		return s.clear(key[1:])
	}); err != nil {
		return err
	}
	return s.setCounter("mswept", s.epoch-1)
}

func (s *Store) sweepEpoch(epoch uint64) error {
	for shard := range shards {
		entries, err := os.ReadDir(s.folder(epoch, shard))
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		for _, e := range entries {
			file := strconv.FormatUint(epoch, 10) + "-" + e.Name()
			owner, err := s.get("f" + file)
			if err != nil {
				return err
			}
			if owner == nil {
				if err := os.Remove(s.pathOf(file)); err != nil && !errors.Is(err, os.ErrNotExist) {
					return err
				}
			}
		}
	}
	return nil
}

// each calls fn with every key that begins with prefix.
func (s *Store) each(prefix string, fn func(key string, value []byte) error) error {
	upper := []byte(prefix)
	upper[len(upper)-1]++
	iter, err := s.db.NewIter(&pebble.IterOptions{LowerBound: []byte(prefix), UpperBound: upper})
	if err != nil {
		return err
	}
	defer iter.Close() //nolint:errcheck // its error is asked for below
	for valid := iter.First(); valid; valid = iter.Next() {
		if err := fn(string(iter.Key()), append([]byte{}, iter.Value()...)); err != nil {
			return err
		}
	}
	return iter.Error()
}

const (
	dropBegun = "begun"
	dropDone  = "done"
)

// Drop implements blob.Objects. The mark stays for ever, so that a write that is still under way cannot leave something.
func (s *Store) Drop(_ context.Context, container string) error {
	s.tree.Lock()
	err := s.db.Set([]byte("x"+container), []byte(dropBegun), pebble.Sync)
	s.tree.Unlock()
	if err != nil {
		return err
	}
	return s.clear(container)
}

// clear removes everything of a dropped container.
func (s *Store) clear(container string) error {
	if err := s.clearKeys("o"+container+"\x00", func(value []byte) ([]piece, error) {
		r, err := decode(value)
		if err != nil {
			return nil, err
		}
		return r.Pieces, nil
	}); err != nil {
		return err
	}
	if err := s.clearKeys("s"+container+"\x00", func(value []byte) ([]piece, error) {
		var p piece
		err := json.Unmarshal(value, &p)
		return []piece{p}, err
	}); err != nil {
		return err
	}
	return s.db.Set([]byte("x"+container), []byte(dropDone), pebble.Sync)
}

// clearKeys removes keys with the files that their values own, some at a time.
func (s *Store) clearKeys(prefix string, pieces func(value []byte) ([]piece, error)) error {
	const some = 1000
	c := s.change()
	n := 0
	flush := func() error {
		s.tree.Lock() // an Open must not find a record whose files go before it can pin them
		defer s.tree.Unlock()
		defer c.close()
		return c.commit()
	}
	err := s.each(prefix, func(key string, value []byte) error {
		owned, err := pieces(value)
		if err != nil {
			return err
		}
		c.lose(owned)
		if err := c.batch.Delete([]byte(key), nil); err != nil {
			return err
		}
		if n++; n%some != 0 {
			return nil
		}
		err = flush()
		c = s.change()
		return err
	})
	return errors.Join(err, flush())
}

// expireHourly removes staged blocks that were never committed.
func (s *Store) expireHourly(ctx context.Context) {
	defer s.stopped.Done()
	tick := time.NewTicker(time.Hour)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			if err := s.Expire(); err != nil {
				s.options.Log.Error("staged blocks could not be removed", "error", err)
			}
		}
	}
}

// Expire removes the staged blocks that are older than blob.StagedFor. The store does so by itself every hour.
func (s *Store) Expire() error {
	return s.each("s", func(key string, value []byte) error {
		var p piece
		if err := json.Unmarshal(value, &p); err != nil || !s.expired(p) {
			return err
		}
		parts := strings.SplitN(key[1:], "\x00", 3)
		unlock := s.lock(parts[0], parts[1])
		defer unlock()
		now, err := s.get(key)
		if err != nil || now == nil {
			return err
		}
		if err := json.Unmarshal(now, &p); err != nil || !s.expired(p) {
			return err
		}
		c := s.change()
		defer c.close()
		c.lose([]piece{p})
		if err := c.batch.Delete([]byte(key), nil); err != nil {
			return err
		}
		return c.commit()
	})
}
