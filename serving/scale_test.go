package serving

import "testing"

// The number of instances follows a growing load at once, and a falling one when it stays low.
func TestScaler(t *testing.T) {
	scale := Scale{Min: 1, Max: 4, Target: 0.5}
	for _, c := range []struct {
		name            string
		load, now, want int
	}{
		{"nothing to do", 0, 1, 1}, {"as much as is wanted", 1, 1, 1}, {"a little more", 2, 1, 1}, {"more", 3, 1, 2}, {"much", 100, 1, 4}, {"less, for once", 1, 3, 3},
	} {
		if got := (&scaler{}).next(scale, 4, c.load, c.now); got != c.want {
			t.Errorf("%s: %d instances, want %d", c.name, got, c.want)
		}
	}
	s, now := scaler{}, 4
	for n := 1; n < calm; n++ {
		load := 0
		if n == 3 {
			load = 5 // asks for three
		}
		if now = s.next(scale, 4, load, now); now != 4 {
			t.Fatalf("after %d looks there are %d", n, now)
		}
	}
	if now = s.next(scale, 4, 0, now); now != 3 {
		t.Errorf("after a calm with a peak that asked for three there are %d", now)
	}
}
