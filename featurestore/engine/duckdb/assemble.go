package duckdb

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/alvara-ml/alvara/featurestore/engine"
)

// wideColumns is from where on each thread's buffers, which are per column, outweigh what a second thread gains.
const wideColumns = 256

// numberColumn stands beside the observations' own columns while they are joined; nobody calls a column that.
const numberColumn = "\x01number"

// joinPath is where COPY writes a Join's result: the output, or what is turned into it.
func (w *worker) joinPath(format string) string {
	path := filepath.Join(w.out, outputName)
	if format == engine.Arrow {
		path += ".parquet"
	}
	return path
}

// assemble writes the observations with the features of the sets, in order, and gives the number of rows.
func (w *worker) assemble(observations *input, j engine.Join, sets []*joinSet) (int64, error) {
	var list []string
	query := " FROM (SELECT *, row_number() OVER () - 1 AS " + name(numberColumn) + " FROM " + observationRelation(observations) + ") o"
	for _, a := range observations.columns {
		list = append(list, "o."+name(a.name))
	}
	for i, set := range j.Sets {
		if len(set.Features) == 0 {
			continue
		}
		query += sets[i].joined()
		for k, f := range set.Features {
			list = append(list, fmt.Sprintf("s%d.%s AS %s", i, feature(k), name(set.Prefix+f.Name)))
		}
	}
	if err := w.ordered(true); err != nil {
		return 0, err
	}
	options := fmt.Sprintf("FORMAT parquet, ROW_GROUP_SIZE %d", rowGroup(len(list)))
	if j.OutputFormat == engine.CSV {
		options = "FORMAT csv, HEADER"
	}
	wrote, err := w.exec("COPY (SELECT " + strings.Join(list, ", ") + query + " ORDER BY o." + name(numberColumn) + ") TO " + text(w.joinPath(j.OutputFormat)) + " (" + options + ")")
	if err != nil {
		return 0, w.dataFault("Writing the result", err)
	}
	return wrote, nil
}

// finish turns what was written into the output's format and gives its size.
func (w *worker) finish(j engine.Join) (int64, error) {
	path := filepath.Join(w.out, outputName)
	if j.OutputFormat == engine.Arrow {
		if err := w.toArrow(w.joinPath(j.OutputFormat), path); err != nil {
			return 0, err
		}
	}
	info, err := os.Stat(path)
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}
