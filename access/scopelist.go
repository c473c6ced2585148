package access

import (
	"slices"
	"sort"
	"strings"
)

// scopeList keeps many assignments by scope and then by id, in pages of which a write copies one. What lies below a
// scope stands together in it.
type scopeList struct{ pages []*listPage }

type listPage struct {
	owner *owner
	held  []held // never empty
}

// listPaged is the number of assignments from which on a page is cut in two.
const listPaged = 256

func (l *scopeList) put(o *owner, h held) {
	if len(l.pages) == 0 {
		l.pages = []*listPage{{owner: o, held: []held{h}}}
		return
	}
	at := l.page(h)
	p := l.own(o, at)
	p.held = insertHeld(p.held, h)
	if n := len(p.held); n > listPaged {
		high := &listPage{owner: o, held: slices.Clone(p.held[n/2:])}
		p.held = slices.Clone(p.held[:n/2])
		l.pages = slices.Insert(l.pages, at+1, high)
	}
}

func (l *scopeList) remove(o *owner, h held) {
	if len(l.pages) == 0 {
		return
	}
	at := l.page(h)
	p := l.own(o, at)
	if p.held = removeHeld(p.held, h); len(p.held) == 0 {
		l.pages = slices.Delete(l.pages, at, at+1)
	}
}

// page is the number of the page in which the assignment is or belongs.
func (l *scopeList) page(h held) int {
	after := sort.Search(len(l.pages), func(i int) bool { return compareHeld(l.pages[i].held[0], h) > 0 })
	return max(0, after-1)
}

func (l *scopeList) own(o *owner, at int) *listPage {
	p := l.pages[at]
	if p.owner != o {
		p = &listPage{owner: o, held: slices.Clone(p.held)}
		l.pages[at] = p
	}
	return p
}

// from yields everything from a scope on, in order, until yield returns false.
func (l *scopeList) from(scope string, yield func(*held) bool) {
	first := sort.Search(len(l.pages), func(i int) bool {
		held := l.pages[i].held
		return held[len(held)-1].scope >= scope
	})
	for _, p := range l.pages[first:] {
		at := sort.Search(len(p.held), func(i int) bool { return p.held[i].scope >= scope })
		for ; at < len(p.held); at++ {
			if !yield(&p.held[at]) {
				return
			}
		}
	}
}

// at yields what is held at exactly that scope.
func (l *scopeList) at(scope string, yield func(*held)) {
	l.from(scope, func(h *held) bool {
		if h.scope != scope {
			return false
		}
		yield(h)
		return true
	})
}

// below tells whether wanted holds for anything at a scope that the key contains, the key itself left out.
func (l *scopeList) below(key string, wanted func(*held) bool) bool {
	start := strings.TrimSuffix(key, "/") + "/"
	found := false
	l.from(start, func(h *held) bool {
		if !strings.HasPrefix(h.scope, start) {
			return false
		}
		found = len(h.scope) > len(start) && wanted(h)
		return !found
	})
	return found
}
