package identity

import (
	"sync"
	"time"
)

// replays remembers the client assertions that were used until they expire. A second assertion with the same jti is
// always refused. The very same assertion is taken again from the address that used it first, because MSAL for Python
// signs one assertion and uses it for nine minutes, once per scope; with singleUse it is refused too.
//
// The memory goes with the process: an assertion that somebody recorded could be used once more after a restart, as long
// as it has not expired.
type replays struct {
	singleUse bool

	mu    sync.Mutex
	seen  map[string]usedAssertion
	sweep int // entries at which expired ones are removed next
}

type usedAssertion struct {
	token   [32]byte
	address string
	expires time.Time
}

func newReplays(singleUse bool) *replays {
	return &replays{singleUse: singleUse, seen: map[string]usedAssertion{}, sweep: 1024}
}

// use tells whether the assertion may be used now, and remembers it.
func (r *replays) use(id string, token [32]byte, address string, expires, now time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if used, ok := r.seen[id]; ok && now.Before(used.expires) {
		return !r.singleUse && used.token == token && used.address == address
	}
	r.seen[id] = usedAssertion{token: token, address: address, expires: expires}
	if len(r.seen) >= r.sweep {
		for id, used := range r.seen {
			if !now.Before(used.expires) {
				delete(r.seen, id)
			}
		}
		r.sweep = max(1024, 2*len(r.seen))
	}
	return true
}
