package audit

import (
	"context"
	"slices"
	"sync"
)

// Memory is a Log for tests. Its zero value is ready.
type Memory struct {
	mu      sync.Mutex
	records []Record
}

// Record implements Log.
func (m *Memory) Record(_ context.Context, record Record) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.records = append(m.records, record)
	return nil
}

// Records gives what was recorded, oldest first.
func (m *Memory) Records() []Record {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.records)
}
