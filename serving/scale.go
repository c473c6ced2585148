package serving

import (
	"math"
	"time"
)

// calm is how many looks in a row must ask for fewer instances before there are fewer.
const calm = 30

// scaler decides how many instances the load asks for. It follows a growing load at once and a falling one late.
type scaler struct {
	last   time.Time
	lower  int // how many looks in a row asked for fewer
	lowest int // the most that any of them asked for
}

// next gives the number of instances after a look at the load: requests that are under way or wait.
func (s *scaler) next(scale Scale, concurrency, load, now int) int {
	asked := int(math.Ceil(float64(load) / (float64(max(1, concurrency)) * scale.Target)))
	asked = max(scale.Min, min(scale.Max, asked))
	if asked >= now {
		s.lower, s.lowest = 0, 0
		return asked
	}
	s.lower, s.lowest = s.lower+1, max(s.lowest, asked)
	if s.lower < calm {
		return now
	}
	fewer := s.lowest
	s.lower, s.lowest = 0, 0
	return fewer
}

// settleScale settles how many instances there are to be. The caller holds d.mu.
func (d *deployment) settleScale(now time.Time, wake *time.Duration) {
	if d.current == nil || d.removed {
		return
	}
	scale := d.current.Scale
	if scale.Max <= scale.Min || scale.Target <= 0 {
		d.wanted = scale.Min
		return
	}
	every := max(scale.Every, 100*time.Millisecond)
	if since := now.Sub(d.scaler.last); since < every {
		*wake = min(*wake, every-since)
		return
	}
	load := len(d.waiting)
	for _, i := range d.instances {
		if i.record.Revision == d.current.ID {
			load += i.busy
		}
	}
	d.scaler.last = now
	d.wanted = d.scaler.next(scale, d.current.Requests.Concurrency, load, max(scale.Min, min(d.wanted, scale.Max)))
	*wake = min(*wake, every)
}
