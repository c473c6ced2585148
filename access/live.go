package access

import (
	"hash/maphash"
	"sync"
	"sync/atomic"
)

// Live holds the current snapshot and follows changes. Readers never wait: they load a pointer. Writers go one after
// another. The zero Live is not usable; make one with NewLive.
type Live struct {
	writing sync.Mutex
	current atomic.Pointer[Snapshot]
}

// NewLive starts with the operations of a catalogue and with some roles, as in
//
//	access.NewLive(access.Catalogue(), access.BuiltIn()...)
//
// Operations without a provider namespace, and those named twice, are left out.
func NewLive(operations []Operation, roles ...*Role) *Live {
	live := &Live{}
	live.current.Store(&Snapshot{seed: maphash.MakeSeed(), catalogue: newCatalogue(operations), stride: 1})
	first := live.current.Load()
	first.grants = make([]uint64, len(first.catalogue.operations)*first.stride)
	changes := make([]Change, len(roles))
	for i, role := range roles {
		changes[i] = PutRole{role}
	}
	live.Apply(changes...)
	return live
}

// Snapshot gives the current state. Ask for it again for every decision.
func (l *Live) Snapshot() *Snapshot { return l.current.Load() }

// Apply makes all changes visible at once, in their order, and gives the snapshot in which they are in force. It checks
// nothing: ValidateRole and the resource manager come before. The cost of one change does not grow with the number of
// assignments; many changes are cheaper in one call than in many.
func (l *Live) Apply(changes ...Change) *Snapshot {
	l.writing.Lock()
	defer l.writing.Unlock()
	e := newEdit(l.current.Load())
	for _, change := range changes {
		change.apply(e)
	}
	next := e.finish()
	l.current.Store(next)
	return next
}
