package pebble

import (
	"fmt"
	"io"

	"github.com/cockroachdb/pebble/v2"

	"github.com/alvara-ml/alvara/featurestore/online"
)

// latest keeps of the records of one key the one with the latest event time, and of equal times the one written last.
// Its name is stored in the database: a change of meaning needs a new name.
var latest = &pebble.Merger{
	Name: "alvara.online.latest.1",
	Merge: func(key, value []byte) (pebble.ValueMerger, error) {
		record, err := online.ParseRecord(value)
		if err != nil {
			return nil, fmt.Errorf("key %x: %w", key, err)
		}
		return &merge{best: append(online.Record(nil), record...)}, nil
	},
}

type merge struct{ best online.Record }

// MergeNewer implements pebble.ValueMerger.
func (m *merge) MergeNewer(value []byte) error {
	record, err := online.ParseRecord(value)
	if err == nil && record.Supersedes(m.best) {
		m.best = append(m.best[:0], record...)
	}
	return err
}

// MergeOlder implements pebble.ValueMerger.
func (m *merge) MergeOlder(value []byte) error {
	record, err := online.ParseRecord(value)
	if err == nil && !m.best.Supersedes(record) {
		m.best = append(m.best[:0], record...)
	}
	return err
}

// Finish implements pebble.ValueMerger.
func (m *merge) Finish(bool) ([]byte, io.Closer, error) { return m.best, nil, nil }
