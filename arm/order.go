package arm

import (
	"cmp"
	"context"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/alvara-ml/alvara/resource"
)

// timeOrder is how a list is ordered by time.
type timeOrder struct {
	of         func(*SystemData) time.Time
	descending bool
}

// orderOf reads $orderBy: createdtime or modifiedtime, with asc, which is the default, or desc. nil is the order of names.
func orderOf(call *Call) (*timeOrder, error) {
	const field = "$orderBy"
	text := call.query(field)
	words := strings.Fields(strings.ToLower(text))
	order := &timeOrder{}
	switch {
	case len(words) == 0:
		return nil, nil
	case words[0] == "createdtime" || words[0] == "createdat":
		order.of = func(s *SystemData) time.Time { return s.CreatedAt }
	case words[0] == "modifiedtime" || words[0] == "lastmodifiedat":
		order.of = func(s *SystemData) time.Time { return s.LastModifiedAt }
	}
	if len(words) == 2 {
		order.descending = words[1] == "desc"
	}
	if order.of == nil || len(words) > 2 || (len(words) == 2 && words[1] != "asc" && words[1] != "desc") {
		return nil, resource.Invalidf("InvalidParameter", "%s is %q; createdtime or modifiedtime was expected, with asc or desc", field, text).At(field)
	}
	return order, nil
}

// pageByTime gives a page of the items that are visible, in the order of a time and then of their keys, and where the next page begins when
// more follow: how many items are before it.
func (d *definition[P]) pageByTime(ctx context.Context, call *Call, page Page, order *timeOrder, visible func(*stored[P]) bool) (found []*stored[P], next string, err error) {
	from := 0
	if page.After != "" {
		if from, err = strconv.Atoi(page.After); err != nil || from < 0 {
			return nil, "", resource.Invalidf("InvalidSkipToken", "$skipToken is not one that this list gave; start the list anew").At("$skipToken")
		}
	}
	err = d.scan(ctx, call, "", largestPage, func(_ string, r *stored[P]) bool {
		if visible(r) {
			found = append(found, r)
		}
		return true
	})
	if err != nil {
		return nil, "", err
	}
	when := func(r *stored[P]) time.Time {
		if r.SystemData == nil {
			return time.Time{}
		}
		return order.of(r.SystemData)
	}
	slices.SortFunc(found, func(a, b *stored[P]) int {
		by := when(a).Compare(when(b))
		if order.descending {
			by = -by
		}
		return cmp.Or(by, strings.Compare(a.ID.Key(), b.ID.Key()))
	})
	end := min(from+page.Size, len(found))
	if end < len(found) {
		next = strconv.Itoa(end)
	}
	return found[min(from, end):end], next, nil
}
