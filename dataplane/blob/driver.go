package blob

import (
	"strings"

	"github.com/alvara-ml/alvara/resource"
)

// CollectPage is what drivers that can seek build List of. seek gives the first object whose name is not less than
// from; false at the end.
func CollectPage(query ListQuery, seek func(from string) (Object, bool, error)) (Page, error) {
	var page Page
	from := max(query.From, query.Prefix)
	for {
		o, ok, err := seek(from)
		if err != nil || !ok || !strings.HasPrefix(o.Name, query.Prefix) {
			return page, err
		}
		if len(page.Entries) == query.Limit {
			page.Next = o.Name
			return page, nil
		}
		if query.Delimiter != "" {
			rest := o.Name[len(query.Prefix):]
			if i := strings.Index(rest, query.Delimiter); i >= 0 {
				group := query.Prefix + rest[:i+len(query.Delimiter)]
				page.Entries = append(page.Entries, Entry{Group: group})
				if from, ok = successor(group); !ok {
					return page, nil
				}
				continue
			}
		}
		o.Blocks = nil
		page.Entries = append(page.Entries, Entry{Object: o})
		from = o.Name + "\x00"
	}
}

// successor is the least text greater than everything that begins with prefix; false when there is none.
func successor(prefix string) (string, bool) {
	b := []byte(prefix)
	for i := len(b) - 1; i >= 0; i-- {
		if b[i] < 0xff {
			b[i]++
			return string(b[:i+1]), true
		}
	}
	return "", false
}

// SelectBlocks finds the blocks of a block list. present are the object's blocks as it is, staged the uncommitted ones.
func SelectBlocks[T any](refs []BlockRef, present []T, id func(T) string, staged map[string]T) ([]T, error) {
	committed := make(map[string]T, len(present))
	for _, block := range present {
		if name := id(block); name != "" {
			committed[name] = block
		}
	}
	var out []T
	for i, ref := range refs {
		if ref.From == Present {
			if i > 0 {
				return nil, resource.Invalidf("InvalidBlockList", "the present content must come first")
			}
			out = append(out, present...)
			continue
		}
		block, ok := staged[ref.ID]
		if ref.From == Committed || (!ok && ref.From == Latest) {
			block, ok = committed[ref.ID]
		}
		if !ok {
			return nil, resource.Invalidf("InvalidBlockList", "The specified block list is invalid: there is no block %q.", ref.ID)
		}
		out = append(out, block)
	}
	return out, nil
}
