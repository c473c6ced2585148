package duckdb

import (
	"database/sql"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/alvara-ml/alvara/featurestore/engine"
	"github.com/alvara-ml/alvara/resource"
)

// join retrieves point in time, in steps whose memory grows with the observations and never with the events:
//
//  1. observation: number, keys and time of every observation, in order.
//  2. Per set, match<i>: for each observation the newest event time within its bounds. See newest for the two ways.
//  3. Per set, found<i>: the features of the row at that time; among rows of one time the first by a total order over all of
//     the set's features.
//  4. The observations from their files once more, each found<i> joined by number, in the order of the numbers.
func (w *worker) join(j engine.Join) (engine.JoinResult, error) {
	result := engine.JoinResult{Matched: make([]int64, len(j.Sets))}
	observations, err := w.openObservations(j)
	if err != nil {
		return result, err
	}
	sets := make([]*joinSet, len(j.Sets))
	for i, set := range j.Sets {
		if sets[i], err = w.openSet(i, set); err != nil {
			return result, err
		}
	}
	if result.Columns, err = outputColumns(observations.columns, j.Sets); err != nil {
		return result, err
	}
	if err := w.shut(); err != nil {
		return result, err
	}
	if len(result.Columns) > wideColumns {
		if _, err := w.exec("SET threads = 1"); err != nil {
			return result, w.computeFault("The join", err)
		}
	}
	o := &observed{w: w, keys: map[engine.Column]string{}}
	if err := o.read(observations, j); err != nil {
		return result, err
	}
	result.Rows = o.rows
	if o.least.Valid {
		result.Times = []time.Time{time.UnixMicro(o.least.Int64).UTC(), time.UnixMicro(o.greatest.Int64).UTC()}
	}
	for i, set := range sets {
		if result.Matched[i], err = set.find(o); err != nil {
			return result, err
		}
	}
	if _, err := w.exec("DROP TABLE observation"); err != nil {
		return result, w.computeFault("The join", err)
	}
	result.Bytes, err = w.assemble(observations, j, o.rows)
	return result, err
}

func (w *worker) openObservations(j engine.Join) (*input, error) {
	in, err := w.open("observation file", j.Observations, j.ObservationFormat)
	if err != nil {
		return nil, err
	}
	var keys []engine.Column
	for _, set := range j.Sets {
		keys = append(keys, set.Index...)
	}
	if err := in.declare(keys, j.TimestampColumn, j.TimestampFormat); err != nil {
		return nil, err
	}
	if in.format == engine.Parquet {
		return in, nil
	}
	// Text is parsed once and into its order; a table stands for the files from here on.
	if err := w.ordered(true); err != nil {
		return nil, err
	}
	if _, err := w.exec("CREATE TABLE observation_text AS SELECT * FROM " + in.reader()); err != nil {
		return nil, in.culprit(err)
	}
	return in, w.ordered(false)
}

// relation is where the observations are read from, always in the order of the files.
func observationRelation(in *input) string {
	if in.format == engine.Parquet {
		return in.reader()
	}
	return "observation_text"
}

// ordered turns on, for the statements that follow, that tables and results keep the order in which they are read.
func (w *worker) ordered(on bool) error {
	_, err := w.exec(fmt.Sprintf("SET preserve_insertion_order = %v", on))
	return err
}

func outputColumns(observations []actual, sets []engine.JoinSet) ([]string, error) {
	var columns []string
	for _, a := range observations {
		columns = append(columns, a.name)
	}
	for _, set := range sets {
		for _, f := range set.Features {
			output := set.Prefix + f.Name
			if _, taken := find(observations, output); taken {
				return nil, resource.Invalidf(engine.CodeName,
					"Feature %q of %s has the name of an observation column. Ask for the set with a prefix, or rename the column.", output, set.Label()).At(output)
			}
			columns = append(columns, output)
		}
	}
	return columns, nil
}

// observed is the table observation: number (from 0), time in microseconds (null when there is none), and the key columns k0, k1 …,
// one for each name and declared type.
type observed struct {
	w               *worker
	keys            map[engine.Column]string
	rows            int64
	least, greatest sql.NullInt64
}

func (o *observed) read(in *input, j engine.Join) error {
	at, ok := find(in.columns, j.TimestampColumn)
	if !ok {
		return resource.Invalidf(engine.CodeTimestamp, "The timestamp column %q is missing from the observations; their columns are %s.", j.TimestampColumn, names(in.columns)).At(j.TimestampColumn)
	}
	when, err := timeColumn(at, j.TimestampFormat, "observations")
	if err != nil {
		return err
	}
	if at.kind == "TIMESTAMP WITH TIME ZONE" {
		when = name(at.name)
	}
	list := []string{"row_number() OVER () - 1 AS number", "epoch_us(" + when + ") AS time"}
	for _, set := range j.Sets {
		for _, c := range set.Index {
			if _, ok := o.keys[c]; ok {
				continue
			}
			a, err := match(in.columns, c, "Key column", "the observations")
			if err != nil {
				return err
			}
			o.keys[c] = fmt.Sprintf("k%d", len(o.keys))
			expression := name(a.name)
			if a.kind != storage(c.Type) { // a key that does not fit its type equals none
				expression = fmt.Sprintf("TRY_CAST(%s AS %s)", expression, storage(c.Type))
			}
			list = append(list, expression+" AS "+o.keys[c])
		}
	}
	if err := o.w.ordered(true); err != nil {
		return err
	}
	o.rows, err = o.w.fill("CREATE TABLE observation AS SELECT " + strings.Join(list, ", ") + " FROM " + observationRelation(in))
	if err != nil {
		return o.w.dataFault("Reading the observations", err)
	}
	if err := o.w.ordered(false); err != nil {
		return err
	}
	return o.w.row("SELECT min(time), max(time) FROM observation", &o.least, &o.greatest)
}

// joinSet is one feature set at work.
type joinSet struct {
	w      *worker
	number int
	set    engine.JoinSet
	events *input // nil without files
	when   actual
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

func (s *joinSet) foundTable() string { return fmt.Sprintf("found%d", s.number) }
func feature(i int) string            { return fmt.Sprintf("f%d", i) }

// find makes found<i>: number and features f0, f1 … of the observations that found a row, and gives how many did.
func (s *joinSet) find(o *observed) (int64, error) {
	columns := []string{"number BIGINT"}
	for i, f := range s.set.Features {
		columns = append(columns, feature(i)+" "+storage(f.Type))
	}
	fault := func(err error) error { return s.w.dataFault("Joining feature set "+s.set.Label(), err) }
	if _, err := s.w.exec("CREATE TABLE " + s.foundTable() + "(" + strings.Join(columns, ", ") + ")"); err != nil {
		return 0, fault(err)
	}
	within, ok := s.bounds(o)
	if !ok {
		return 0, nil
	}
	keys := make([]string, len(s.set.Index))
	for i, c := range s.set.Index {
		keys[i] = o.keys[c]
	}
	matched, err := s.newest(o, keys, s.eventKeys(keys, within))
	if err != nil {
		return 0, fault(err)
	}
	if err := s.fetch(keys, within, matched); err != nil {
		return 0, fault(err)
	}
	if _, err := s.w.exec("DROP TABLE match"); err != nil {
		return 0, fault(err)
	}
	return matched, nil
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

// eventKeys selects the events' keys, under the observations' names for them, and their time as a TIMESTAMP.
func (s *joinSet) eventKeys(keys []string, within string, more ...string) string {
	var list []string
	for i, c := range s.set.Index {
		a, _ := find(s.events.columns, c.Name)
		list = append(list, cast(name(a.name), a, c.Type)+" AS "+keys[i])
	}
	moment := cast(name(s.when.name), s.when, engine.Datetime)
	if s.when.kind == "TIMESTAMP WITH TIME ZONE" { // much faster than the cast, which asks the calendar
		moment = "make_timestamp(epoch_us(" + name(s.when.name) + "))"
	}
	list = append(list, moment+" AS moment")
	return "(SELECT " + strings.Join(append(list, more...), ", ") + " FROM " + s.events.reader() + " WHERE " + within + ")"
}

// newest makes the table match: number, keys, and the newest event time, moment, within the observation's bounds.
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
	present := strings.Join(keys, " IS NOT NULL AND ") + " IS NOT NULL"
	bounded += " FROM observation WHERE time IS NOT NULL AND " + present + ") o"
	crowded, err := s.crowded(o, list, events)
	if err != nil {
		return 0, err
	}
	create := "CREATE TABLE match AS SELECT o.number, " + strings.Join(kept, ", ")
	if crowded {
		query := create + ", e.moment FROM " + bounded + " ASOF JOIN (FROM " + events + " WHERE moment IS NOT NULL AND " + present + ") e ON " +
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

// fetch fills found<i> with the features of the matches. Rows of one key and one time come all of them; when there were
// any, one is chosen.
func (s *joinSet) fetch(keys []string, within string, matched int64) error {
	var more, picked []string
	for i, f := range s.set.Features {
		a, _ := find(s.events.columns, f.Name)
		more = append(more, cast(name(a.name), a, f.Type)+" AS "+feature(i))
		picked = append(picked, "e."+feature(i))
	}
	using := strings.Join(append(append([]string(nil), keys...), "moment"), ", ")
	list := strings.Join(append([]string{"number"}, picked...), ", ")
	into := "INSERT INTO " + s.foundTable() + " SELECT " + list
	rows, err := s.w.exec(into + " FROM match JOIN " + s.eventKeys(keys, within, more...) + " e USING (" + using + ")")
	if err != nil || rows == matched {
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
		into + " FROM (FROM match SEMI JOIN tied USING (number)) JOIN " + s.eventKeys(keys, within, more...) + " e USING (" + using + ")" +
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

// wideColumns is from where on each thread's buffers, which are per column, outweigh what a second thread gains.
const wideColumns = 256

// numberColumn stands beside the observations' own columns while they are joined; nobody calls a column that.
const numberColumn = "\x01number"

// assemble writes the output and gives its size.
func (w *worker) assemble(observations *input, j engine.Join, rows int64) (int64, error) {
	var list []string
	query := " FROM (SELECT *, row_number() OVER () - 1 AS " + name(numberColumn) + " FROM " + observationRelation(observations) + ") o"
	for _, a := range observations.columns {
		list = append(list, "o."+name(a.name))
	}
	for i, set := range j.Sets {
		if len(set.Features) == 0 {
			continue
		}
		query += fmt.Sprintf(" LEFT JOIN found%d s%d ON s%d.number = o.%s", i, i, i, name(numberColumn))
		for k, f := range set.Features {
			list = append(list, fmt.Sprintf("s%d.%s AS %s", i, feature(k), name(set.Prefix+f.Name)))
		}
	}
	if err := w.ordered(true); err != nil {
		return 0, err
	}
	path := filepath.Join(w.out, outputName)
	into, options := path, fmt.Sprintf("FORMAT parquet, ROW_GROUP_SIZE %d", rowGroup(len(list)))
	switch j.OutputFormat {
	case engine.CSV:
		options = "FORMAT csv, HEADER"
	case engine.Arrow:
		into = path + ".parquet"
	}
	wrote, err := w.exec("COPY (SELECT " + strings.Join(list, ", ") + query + " ORDER BY o." + name(numberColumn) + ") TO " + text(into) + " (" + options + ")")
	if err != nil {
		return 0, w.dataFault("Writing the result", err)
	}
	if wrote != rows {
		return 0, fmt.Errorf("the join made %d rows of %d observations", wrote, rows)
	}
	if j.OutputFormat == engine.Arrow {
		if err := w.toArrow(into, path); err != nil {
			return 0, err
		}
	}
	info, err := os.Stat(path)
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}
