package duckdb

import (
	"database/sql"
	"fmt"
	"strings"
	"time"

	"github.com/alvara-ml/alvara/featurestore/engine"
	"github.com/alvara-ml/alvara/resource"
)

// join retrieves point in time, in steps whose memory grows with the observations and never with the events:
//
//  1. observation: number, keys and time of every observation, in order.
//  2. Per set, match<i>: for each observation the newest event time within its bounds. See newest for the two ways.
//  3. Per set but the last, found<i>: the features of the row at that time; among rows of one time the first by a total order
//     over all of the set's features.
//  4. The observations from their files once more, each found<i> joined by number, in the order of the numbers. The last set's
//     features come straight from its files, which spares keeping and finding them again. Where rows of one time make that
//     more rows than there are observations, the last set gets its found<i> too, and the result is written again.
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
		if set.streams = i == len(sets)-1; set.streams {
			set.streams, err = set.seemsUntied()
		}
		if err == nil && !set.streams {
			err = set.fetch()
		}
		if err != nil {
			return result, err
		}
	}
	if _, err := w.exec("DROP TABLE observation"); err != nil {
		return result, w.computeFault("The join", err)
	}
	wrote, err := w.assemble(observations, j, sets)
	if last := len(sets) - 1; err == nil && wrote != o.rows && last >= 0 && sets[last].streams {
		sets[last].streams = false
		if err = sets[last].fetch(); err == nil {
			wrote, err = w.assemble(observations, j, sets)
		}
	}
	if err == nil && wrote != o.rows {
		err = fmt.Errorf("the join made %d rows of %d observations", wrote, o.rows)
	}
	if err == nil {
		result.Bytes, err = w.finish(j)
	}
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
