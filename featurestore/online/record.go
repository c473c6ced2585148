package online

import (
	"encoding/binary"
	"fmt"
	"math"
	"time"

	"github.com/alvara-ml/alvara/resource"
)

// A Record is what drivers store for a key: event time, time of expiry (both microseconds since 1970), run, value. All
// drivers use it, so that a table can be moved between them as it is.
type Record []byte

const (
	recordHeader = 24
	never        = math.MaxInt64
)

// AppendRecord encodes a row of a batch.
func AppendRecord(to []byte, row Row, ttl time.Duration, run uint64) Record {
	event := row.Event.UnixMicro()
	expires := int64(never)
	if ttl > 0 && event < never-ttl.Microseconds() {
		expires = event + ttl.Microseconds()
	}
	to = binary.LittleEndian.AppendUint64(to, uint64(event))
	to = binary.LittleEndian.AppendUint64(to, uint64(expires))
	to = binary.LittleEndian.AppendUint64(to, run)
	return append(to, row.Value...)
}

// ParseRecord checks that stored bytes are a record.
func ParseRecord(stored []byte) (Record, error) {
	if len(stored) < recordHeader {
		return nil, fmt.Errorf("online record: %d bytes are too short", len(stored))
	}
	return stored, nil
}

// EventMicros is the event time in microseconds since 1970.
func (r Record) EventMicros() int64 { return int64(binary.LittleEndian.Uint64(r)) }

// Event is the event time.
func (r Record) Event() time.Time { return time.UnixMicro(r.EventMicros()).UTC() }

// Run is the run that wrote the record.
func (r Record) Run() uint64 { return binary.LittleEndian.Uint64(r[16:]) }

// Expired tells whether the record's TTL has passed at now. A record can be read until its last microsecond.
func (r Record) Expired(now time.Time) bool {
	return now.UnixMicro() > int64(binary.LittleEndian.Uint64(r[8:]))
}

// Value is the encoded row.
func (r Record) Value() []byte { return r[recordHeader:] }

// Supersedes tells whether the record takes the place of one that was stored before it.
func (r Record) Supersedes(stored Record) bool { return r.EventMicros() >= stored.EventMicros() }

// Matches tells whether a retraction removes the record.
func (t Retraction) Matches(r Record) bool {
	event := r.EventMicros()
	return event >= t.Start.UnixMicro() && event < t.End.UnixMicro() && r.Run() != t.Run
}

// Check refuses batches that break the contract.
func (b Batch) Check() error {
	if b.Run == 0 {
		return resource.Invalidf("InvalidBatch", "the batch has no run; give the number of the run that writes it")
	}
	if b.TTL < 0 {
		return resource.Invalidf("InvalidBatch", "the batch's TTL is %s; it must be positive, or 0 for ever", b.TTL)
	}
	for i, row := range b.Rows {
		if len(row.Key) == 0 {
			return resource.Invalidf("InvalidBatch", "row %d of the batch has an empty key", i)
		}
	}
	return nil
}

// Check refuses retractions that break the contract.
func (t Retraction) Check() error {
	if t.Run == 0 || t.TTL < 0 || !t.Start.Before(t.End) {
		return resource.Invalidf("InvalidBatch", "a retraction needs a run, a TTL that is not negative, and a window whose start is before its end")
	}
	return nil
}

// ErrNoTable is what drivers return for an absent table.
func ErrNoTable(table string) error {
	return resource.NotFoundf("OnlineTableNotFound", "there is no online table %q; materialize the feature set online first", table)
}

// ErrSchemaChanged is what drivers return when a table is there with another schema.
func ErrSchemaChanged(table string) error {
	return resource.Conflictf("OnlineSchemaChanged", "the online table %q has another schema; a feature set version's schema cannot change, make a new version", table)
}

// Add counts one stored record.
func (s *Stats) Add(keyBytes int, record Record) {
	event := record.Event()
	if s.Rows == 0 || event.Before(s.FirstTime) {
		s.FirstTime = event
	}
	if s.Rows == 0 || event.After(s.LastTime) {
		s.LastTime = event
	}
	s.Rows++
	s.Bytes += int64(keyBytes + len(record))
}
