package duckdb

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/alvara-ml/alvara/featurestore/engine"
	"github.com/alvara-ml/alvara/resource"
)

// joinSet is one feature set at work.
type joinSet struct {
	w      *worker
	number int
	set    engine.JoinSet
	events *input // nil without files
	when   actual

	keys    []string // the observations' names of the index columns
	within  string   // see bounds; empty when nothing can match
	matched int64    // the rows of match<i>
	streams bool     // its features are joined as the result is written, and there is no found<i>
}

func (w *worker) openSet(number int, set engine.JoinSet) (*joinSet, error) {
	s := &joinSet{w: w, number: number, set: set}
	if len(set.Order) == 0 {
		s.set.Order = set.Features
	}
	if len(set.Files) == 0 {
		return s, nil
	}
	events, err := w.open("file of feature set "+set.Label(), set.Files, engine.Parquet)
	if err != nil {
		return nil, err
	}
	s.events = events
	var ok bool
	if s.when, ok = find(events.columns, set.TimestampColumn); !ok {
		return nil, resource.Invalidf(engine.CodeTimestamp, "The timestamp column %q is missing from feature set %s.", set.TimestampColumn, set.Label()).At(set.TimestampColumn)
	}
	if family(s.when.kind) != "time" {
		return nil, resource.Invalidf(engine.CodeTimestamp, "The timestamp column %q of feature set %s is %s, which is no time.", set.TimestampColumn, set.Label(), s.when.kind).At(set.TimestampColumn)
	}
	place := "feature set " + set.Label()
	for _, c := range set.Index {
		if _, err := match(events.columns, c, "Index column", place); err != nil {
			return nil, err
		}
	}
	for _, c := range slices.Concat(set.Features, s.set.Order) {
		if _, err := match(events.columns, c, "Feature", place); err != nil {
			return nil, err
		}
	}
	return s, nil
}

func (s *joinSet) matchTable() string { return fmt.Sprintf("match%d", s.number) }
func (s *joinSet) foundTable() string { return fmt.Sprintf("found%d", s.number) }
func feature(i int) string            { return fmt.Sprintf("f%d", i) }
func present(keys []string) string    { return strings.Join(keys, " IS NOT NULL AND ") + " IS NOT NULL" }

// find makes match<i>, unless nothing can match, and gives how many observations found a row.
func (s *joinSet) find(o *observed) (int64, error) {
	for _, c := range s.set.Index {
		s.keys = append(s.keys, o.keys[c])
	}
	within, ok := s.bounds(o)
	if !ok {
		return 0, nil
	}
	s.within = within
	var err error
	if s.matched, err = s.newest(o, s.keys, s.eventRows()); err != nil {
		return 0, s.fault(err)
	}
	return s.matched, nil
}

func (s *joinSet) fault(err error) error {
	return s.w.dataFault("Joining feature set "+s.set.Label(), err)
}

// sampledEvents is how many of a set's rows are looked at for rows of one key and one time.
const sampledEvents = 1 << 14

// seemsUntied tells whether the set can be joined as the result is written. It is only a guess as to whether there are ties: what
// is written tells for sure.
func (s *joinSet) seemsUntied() (bool, error) {
	if s.matched == 0 {
		return false, nil
	}
	var tied bool
	err := s.w.row(fmt.Sprintf("SELECT count(*) > 0 FROM (SELECT 1 FROM (FROM %s LIMIT %d) WHERE %s GROUP BY %s, moment HAVING count(*) > 1)",
		s.eventRows(), sampledEvents, present(s.keys), strings.Join(s.keys, ", ")), &tied)
	if err != nil {
		return false, s.fault(err)
	}
	return !tied, nil
}

// joined is the clause by which assemble joins the set's features to the observations o, under the alias of the set.
func (s *joinSet) joined() string {
	if !s.streams {
		return fmt.Sprintf(" LEFT JOIN %s s%d ON s%[2]d.number = o.%s", s.foundTable(), s.number, name(numberColumn))
	}
	features, _ := s.features()
	clause := fmt.Sprintf(" LEFT JOIN %s m ON m.number = o.%s LEFT JOIN %s s%d ON s%[4]d.moment = m.moment",
		s.matchTable(), name(numberColumn), s.eventRows(features...), s.number)
	for _, k := range s.keys {
		clause += fmt.Sprintf(" AND s%d.%s = m.%[2]s", s.number, k)
	}
	return clause
}

// bounds gives the condition on the events' time that every match fulfils, in constants, so that files and row groups without any are
// skipped. It is false when nothing can match.
func (s *joinSet) bounds(o *observed) (string, bool) {
	if s.events == nil || !o.least.Valid || (s.set.Lookback != nil && *s.set.Lookback < s.set.Delay) {
		return "", false
	}
	literal := func(us int64) string {
		if s.when.kind == "TIMESTAMP WITH TIME ZONE" {
			return strings.TrimSuffix("TIMESTAMPTZ"+strings.TrimPrefix(timestamp(time.UnixMicro(us)), "TIMESTAMP"), "'") + "+00'"
		}
		return timestamp(time.UnixMicro(us))
	}
	condition := name(s.when.name) + " <= " + literal(minus(o.greatest.Int64, s.set.Delay))
	if s.set.Lookback != nil {
		condition += " AND " + name(s.when.name) + " >= " + literal(minus(o.least.Int64, *s.set.Lookback))
	}
	return condition, true
}

func minus(us int64, d time.Duration) int64 {
	if us < math.MinInt64+d.Microseconds() {
		return math.MinInt64
	}
	return us - d.Microseconds()
}

// eventRows selects the events' keys, under the observations' names for them, their time as a TIMESTAMP, and more.
func (s *joinSet) eventRows(more ...string) string {
	var list []string
	for i, c := range s.set.Index {
		a, _ := find(s.events.columns, c.Name)
		list = append(list, cast(name(a.name), a, c.Type)+" AS "+s.keys[i])
	}
	moment := cast(name(s.when.name), s.when, engine.Datetime)
	if s.when.kind == "TIMESTAMP WITH TIME ZONE" { // much faster than the cast, which asks the calendar
		moment = "make_timestamp(epoch_us(" + name(s.when.name) + "))"
	}
	list = append(list, moment+" AS moment")
	return "(SELECT " + strings.Join(append(list, more...), ", ") + " FROM " + s.events.reader() + " WHERE " + s.within + ")"
}

// newest makes the table match<i>: number, keys, and the newest event time, moment, within the observation's bounds.
//
// Joining by hash and taking the maximum is the fastest way as long as an entity has few observations: the events stream past a
// table of the observations. It visits every pair of an entity's observations and events, though; where an entity has many
// observations the pairs are counted, and when they are too many the events are sorted instead (ASOF).
func (s *joinSet) newest(o *observed, keys []string, events string) (int64, error) {
	list := strings.Join(keys, ", ")
	// The bounds of every observation, cut to the range of times so that none of them overflows.
	bound := func(d time.Duration) string {
		return fmt.Sprintf("make_timestamp(least(greatest(time, %d) - %d, %d))", leastTime+d.Microseconds(), d.Microseconds(), greatestTime)
	}
	bounded := "(SELECT number, " + list + ", " + bound(s.set.Delay) + " AS upper"
	lower := ""
	if s.set.Lookback != nil {
		bounded += ", " + bound(*s.set.Lookback) + " AS lower"
		lower = "e.moment >= o.lower"
	}
	on := make([]string, len(keys))
	kept := make([]string, len(keys))
	for i, k := range keys {
		on[i], kept[i] = "o."+k+" = e."+k, "o."+k
	}
	// With several keys ASOF takes null for equal to null, so nulls are kept away from it.
	bounded += " FROM observation WHERE time IS NOT NULL AND " + present(keys) + ") o"
	crowded, err := s.crowded(o, list, events)
	if err != nil {
		return 0, err
	}
	create := "CREATE TABLE " + s.matchTable() + " AS SELECT o.number, " + strings.Join(kept, ", ")
	if crowded {
		query := create + ", e.moment FROM " + bounded + " ASOF JOIN (FROM " + events + " WHERE moment IS NOT NULL AND " + present(keys) + ") e ON " +
			strings.Join(on, " AND ") + " AND o.upper >= e.moment"
		if lower != "" {
			query += " WHERE " + lower
		}
		return s.w.fill(query)
	}
	condition := strings.Join(on, " AND ") + " AND e.moment <= o.upper"
	if lower != "" {
		condition += " AND " + lower
	}
	return s.w.fill(create + ", max(e.moment) AS moment FROM " + bounded + " JOIN " + events + " e ON " + condition + " GROUP BY ALL")
}

// The first and last microsecond of the years 1 to 9999, to which times are cut.
const leastTime, greatestTime = -62135596800000000, 253402300799999999

// A hash join may visit this many pairs for every row on either side before sorting is taken to be cheaper.
const pairsPerRow, sampledRows = 24, 1 << 16

func (s *joinSet) crowded(o *observed, keys, events string) (bool, error) {
	// A look at some of the observations first: most requests have a handful for each entity, and need no counting.
	stride := max(1, o.rows/sampledRows)
	var most int64
	if err := s.w.row(fmt.Sprintf("SELECT coalesce(max(c), 0) FROM (SELECT count(*) AS c FROM observation WHERE hash(number) %% %d = 0 GROUP BY %s)", stride, keys), &most); err != nil {
		return false, err
	}
	if most <= pairsPerRow/stride+6 {
		return false, nil
	}
	var pairs, rows float64
	err := s.w.row("SELECT coalesce(sum(o.c), 0)::DOUBLE, count(*)::DOUBLE FROM "+events+" e LEFT JOIN (SELECT "+keys+
		", count(*) AS c FROM observation GROUP BY ALL) o USING ("+keys+")", &pairs, &rows)
	return pairs > pairsPerRow*(rows+float64(o.rows)), err
}

// features selects the events' columns f0, f1 …; picked are their names under the alias e.
func (s *joinSet) features() (columns, picked []string) {
	for i, f := range s.set.Features {
		a, _ := find(s.events.columns, f.Name)
		columns = append(columns, cast(name(a.name), a, f.Type)+" AS "+feature(i))
		picked = append(picked, "e."+feature(i))
	}
	return columns, picked
}

// fetch makes found<i>, number and features f0, f1 … of the observations that found a row, of match<i>, which goes. Rows of one
// key and one time come all of them; when there were any, one is chosen.
func (s *joinSet) fetch() error {
	columns := []string{"number BIGINT"}
	for i, f := range s.set.Features {
		columns = append(columns, feature(i)+" "+storage(f.Type))
	}
	_, err := s.w.exec("CREATE TABLE " + s.foundTable() + "(" + strings.Join(columns, ", ") + ")")
	if err == nil && s.within != "" {
		if err = s.fill(); err == nil {
			_, err = s.w.exec("DROP TABLE " + s.matchTable())
		}
	}
	if err != nil {
		return s.fault(err)
	}
	return nil
}

func (s *joinSet) fill() error {
	more, picked := s.features()
	using := strings.Join(append(append([]string(nil), s.keys...), "moment"), ", ")
	list := strings.Join(append([]string{"number"}, picked...), ", ")
	into := "INSERT INTO " + s.foundTable() + " SELECT " + list
	rows, err := s.w.exec(into + " FROM " + s.matchTable() + " JOIN " + s.eventRows(more...) + " e USING (" + using + ")")
	if err != nil || rows == s.matched {
		return err
	}
	// There are ties. Their rows are read again with every column of the order.
	for i, c := range s.set.Order {
		a, _ := find(s.events.columns, c.Name)
		more = append(more, cast(name(a.name), a, c.Type)+fmt.Sprintf(" AS o%d", i))
	}
	for _, statement := range []string{
		"CREATE TABLE tied AS SELECT number FROM " + s.foundTable() + " GROUP BY number HAVING count(*) > 1",
		"DELETE FROM " + s.foundTable() + " WHERE number IN (FROM tied)",
		into + " FROM (FROM " + s.matchTable() + " SEMI JOIN tied USING (number)) JOIN " + s.eventRows(more...) + " e USING (" + using + ")" +
			" QUALIFY row_number() OVER (PARTITION BY number ORDER BY " + totalOrder(s.set.Order) + ") = 1",
		"DROP TABLE tied",
	} {
		if _, err := s.w.exec(statement); err != nil {
			return err
		}
	}
	return nil
}

// totalOrder orders rows by their columns o0, o1 …; rows that it does not tell apart are equal in every column.
func totalOrder(columns []engine.Column) string {
	order := []string{"1"}
	for i, c := range columns {
		order = append(order, fmt.Sprintf("o%d DESC NULLS LAST", i))
		if c.Type == engine.Float || c.Type == engine.Double {
			order = append(order, fmt.Sprintf("signbit(o%d)", i)) // zeros of either sign compare equal
		}
	}
	return strings.Join(order, ", ")
}
