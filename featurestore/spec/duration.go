package spec

import (
	"fmt"
	"math"
	"strings"
	"time"
)

const (
	day  = 24 * time.Hour
	week = 7 * day
)

// duration reads {days, hours, minutes}, which add up.
func (v value) duration() time.Duration {
	if !v.present() {
		return 0
	}
	before := len(v.r.faults)
	o := v.object("days", "hours", "minutes")
	if len(v.r.faults) > before {
		return 0
	}
	if !o.has("days") && !o.has("hours") && !o.has("minutes") {
		v.fault("%s names no unit; give days, hours or minutes", v.name())
		return 0
	}
	var total time.Duration
	for _, unit := range []struct {
		name string
		size time.Duration
	}{{"days", day}, {"hours", time.Hour}, {"minutes", time.Minute}} {
		field := o.get(unit.name)
		part, fault := multiply(field.integer(), unit.size)
		if fault != "" {
			field.fault("%s %s", field.path, fault)
			return 0
		}
		total += part // both at most MaxDuration, so the sum fits
		if total > MaxDuration {
			v.fault("%s is longer than %d days", v.name(), MaxDuration/day)
			return 0
		}
	}
	return total
}

// multiply gives count times unit, or what is wrong with it.
func multiply(count int64, unit time.Duration) (time.Duration, string) {
	if count < 0 {
		return 0, fmt.Sprintf("is %d; it must not be negative", count)
	}
	if count > int64(MaxDuration/unit) {
		return 0, fmt.Sprintf("is %d, which is longer than %d days", count, MaxDuration/day)
	}
	return time.Duration(count) * unit, ""
}

var windowUnits = []struct {
	name string
	size time.Duration
}{
	{"weeks", week}, {"days", day}, {"hours", time.Hour}, {"minutes", time.Minute}, {"seconds", time.Second},
}

// window reads {length, unit} or {days, hours, minutes}; it must be longer than zero.
func (v value) window() time.Duration {
	before := len(v.r.faults)
	var length time.Duration
	if v.hasField("length") || v.hasField("unit") {
		o := v.object("length", "unit")
		o.require("length", "give the number of units")
		unit := o.require("unit", "expected "+unitNames())
		size := unitSize(unit.text())
		if unit.present() && size == 0 {
			unit.fault("%s is %q; expected %s", unit.path, unit.text(), unitNames())
		}
		if size == 0 || !o.has("length") {
			return 0
		}
		part, fault := multiply(o.get("length").integer(), size)
		if fault != "" {
			o.get("length").fault("%s %s", o.get("length").path, fault)
		}
		length = part
	} else {
		length = v.duration()
	}
	if length <= 0 && v.present() && len(v.r.faults) == before {
		v.fault("%s is zero; a window must be longer than that", v.name())
	}
	return length
}

func unitNames() string {
	names := make([]string, len(windowUnits))
	for i, unit := range windowUnits {
		names[i] = unit.name
	}
	return strings.Join(names, ", ")
}

// unitSize knows singular and plural in any case; 0 means unknown.
func unitSize(name string) time.Duration {
	name = strings.ToLower(name)
	for _, unit := range windowUnits {
		if name == unit.name || name+"s" == unit.name {
			return unit.size
		}
	}
	return 0
}

// ParseISODuration reads an ISO-8601 duration of weeks, days, hours, minutes and seconds, such as P30D, PT12H or P1DT6H30M.
// Years and months have no fixed length and are refused.
func ParseISODuration(text string) (time.Duration, error) {
	fail := func(why string) (time.Duration, error) {
		return 0, invalid("%q is not a duration: %s; expected a form such as P30D, PT12H or P1DT6H", text, why)
	}
	rest, ok := strings.CutPrefix(strings.ToUpper(text), "P")
	if !ok || rest == "" {
		return fail("it does not start with P and a number")
	}
	units := []struct {
		letter byte
		size   time.Duration
	}{{'W', week}, {'D', day}, {'T', 0}, {'H', time.Hour}, {'M', time.Minute}, {'S', time.Second}}
	var total time.Duration
	at, clock := 0, false
	for rest != "" {
		if rest[0] == 'T' {
			if clock || len(rest) == 1 {
				return fail("nothing follows T")
			}
			clock, at, rest = true, 3, rest[1:]
			continue
		}
		count, digits := int64(0), 0
		for digits < len(rest) && rest[digits] >= '0' && rest[digits] <= '9' {
			if count > math.MaxInt64/10-10 {
				return fail("a number is too large")
			}
			count = count*10 + int64(rest[digits]-'0')
			digits++
		}
		if digits == 0 || digits == len(rest) {
			return fail("a number with its unit was expected")
		}
		letter := rest[digits]
		if !clock && (letter == 'Y' || letter == 'M') {
			return fail("years and months have no fixed length")
		}
		for at < len(units) && units[at].letter != letter {
			at++
		}
		if at == len(units) || (units[at].letter == 'W' || units[at].letter == 'D') == clock {
			return fail(fmt.Sprintf("the unit %q is unknown or out of order", letter))
		}
		part, fault := multiply(count, units[at].size)
		if fault != "" {
			return fail("it " + fault)
		}
		total += part
		if total > MaxDuration {
			return fail(fmt.Sprintf("it is longer than %d days", MaxDuration/day))
		}
		at, rest = at+1, rest[digits+1:]
	}
	return total, nil
}

// FormatDuration writes a duration for people: "7 days", "1 day 6 hours", "20 minutes", "0 minutes".
func FormatDuration(d time.Duration) string {
	if d < 0 {
		return "-" + FormatDuration(-d)
	}
	var parts []string
	for _, unit := range windowUnits[1:] {
		if n := d / unit.size; n > 0 {
			name := unit.name
			if n == 1 {
				name = strings.TrimSuffix(name, "s")
			}
			parts = append(parts, fmt.Sprintf("%d %s", n, name))
			d -= n * unit.size
		}
	}
	if d > 0 {
		parts = append(parts, d.String())
	}
	if len(parts) == 0 {
		return "0 minutes"
	}
	return strings.Join(parts, " ")
}
