package servingtest

import (
	"context"
	"encoding/json"
	"sync"

	"github.com/alvara-ml/alvara/serving"
)

// Records are serving.Records in memory, which keep what they are given as JSON, as stores do.
type Records struct {
	mu   sync.Mutex
	kept map[string][]byte
	// Fail refuses to save; nil never does.
	Fail func(record serving.Record) error
}

// Save keeps a record.
func (r *Records) Save(_ context.Context, record serving.Record) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.Fail != nil {
		if err := r.Fail(record); err != nil {
			return err
		}
	}
	text, err := json.Marshal(record)
	if r.kept == nil {
		r.kept = map[string][]byte{}
	}
	r.kept[record.Key] = text
	return err
}

// Delete forgets a record.
func (r *Records) Delete(_ context.Context, key string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.kept, key)
	return nil
}

// All gives all records.
func (r *Records) All(context.Context) ([]serving.Record, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []serving.Record
	for _, text := range r.kept {
		var record serving.Record
		if err := json.Unmarshal(text, &record); err != nil {
			return nil, err
		}
		out = append(out, record)
	}
	return out, nil
}

// Journal is a serving.Journal in memory.
type Journal struct {
	mu    sync.Mutex
	lines map[string][]string
}

// Append keeps a line.
func (j *Journal) Append(key, line string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.lines == nil {
		j.lines = map[string][]string{}
	}
	j.lines[key] = append(j.lines[key], line)
}

// Tail gives the last lines.
func (j *Journal) Tail(key string, lines int) ([]string, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	all := j.lines[key]
	return append([]string{}, all[max(0, len(all)-lines):]...), nil
}

// Forget forgets the lines of a deployment.
func (j *Journal) Forget(key string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	delete(j.lines, key)
}
