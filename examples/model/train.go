package model

import (
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/alvara-ml/alvara/featurestore/spec"
)

// Training says what to train on.
type Training struct {
	Data    string // the training set, a CSV file with a column for each feature and the label
	Spec    string // feature_retrieval_spec.yaml: the features, and what is kept with the model
	Label   string // column of true and false
	Epochs  int
	Out     string // folder of the model
	Metrics string // file to which metrics are written, one JSON object a line; "" for none
}

const rate = 0.5 // of learning

// Train fits a model by gradient descent, writes it beside its feature retrieval specification, and gives its last loss.
func (t Training) Train(say io.Writer) (loss float64, err error) {
	text, err := os.ReadFile(t.Spec)
	if err != nil {
		return 0, err
	}
	wanted, err := spec.ParseRetrievalSpec(t.Spec, text)
	if err != nil {
		return 0, err
	}
	m := &Model{}
	for _, store := range wanted.Stores {
		for _, feature := range store.Features {
			m.Features = append(m.Features, feature.Feature)
		}
	}
	rows, labels, err := t.read(m.Features)
	if err != nil {
		return 0, err
	}
	fmt.Fprintf(say, "%d rows, %d features\n", len(rows), len(m.Features))
	m.standardize(rows)
	metrics := io.Discard
	if t.Metrics != "" {
		file, err := os.OpenFile(t.Metrics, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
		if err != nil {
			return 0, err
		}
		defer func() { err = errors.Join(err, file.Close()) }()
		metrics = file
	}
	for epoch := 1; epoch <= t.Epochs; epoch++ {
		loss = m.step(rows, labels)
		line, err := json.Marshal(map[string]any{"name": "loss", "value": loss, "step": epoch})
		if err != nil {
			return 0, err
		}
		if _, err := metrics.Write(append(line, '\n')); err != nil {
			return 0, err
		}
		if epoch%10 == 0 || epoch == t.Epochs {
			fmt.Fprintf(say, "epoch %d: loss %.4f\n", epoch, loss)
		}
	}
	if err := m.write(t.Out); err != nil {
		return 0, err
	}
	return loss, os.WriteFile(filepath.Join(t.Out, spec.RetrievalFileName), text, 0o644)
}

// read gives the features of each row, NaN where there is none, and the labels.
func (t Training) read(features []string) (rows [][]float64, labels []float64, err error) {
	file, err := os.Open(t.Data)
	if err != nil {
		return nil, nil, err
	}
	defer func() { _ = file.Close() }() // only read
	table := csv.NewReader(file)
	header, err := table.Read()
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", t.Data, err)
	}
	at := map[string]int{}
	for i, name := range header {
		at[name] = i
	}
	for _, name := range append([]string{t.Label}, features...) {
		if _, ok := at[name]; !ok {
			return nil, nil, fmt.Errorf("%s has no column %s; it has %s", t.Data, name, strings.Join(header, ", "))
		}
	}
	for {
		record, err := table.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, nil, err
		}
		row := make([]float64, len(features))
		for i, name := range features {
			if row[i], err = strconv.ParseFloat(record[at[name]], 64); err != nil {
				row[i] = math.NaN()
			}
		}
		label := 0.0
		if yes, err := strconv.ParseBool(record[at[t.Label]]); err == nil && yes {
			label = 1
		}
		rows, labels = append(rows, row), append(labels, label)
	}
	if len(rows) == 0 {
		return nil, nil, fmt.Errorf("%s has no rows", t.Data)
	}
	return rows, labels, nil
}

// standardize finds mean and scale of each feature.
func (m *Model) standardize(rows [][]float64) {
	n := len(m.Features)
	m.Mean, m.Scale, m.Weights = make([]float64, n), make([]float64, n), make([]float64, n)
	for i := range n {
		count, sum, squares := 0.0, 0.0, 0.0
		for _, row := range rows {
			if v := row[i]; !math.IsNaN(v) {
				count, sum, squares = count+1, sum+v, squares+v*v
			}
		}
		m.Scale[i] = 1
		if count > 0 {
			m.Mean[i] = sum / count
			if deviation := math.Sqrt(max(0, squares/count-m.Mean[i]*m.Mean[i])); deviation > 0 {
				m.Scale[i] = deviation
			}
		}
	}
}

// step goes one step down the gradient and gives the loss before it.
func (m *Model) step(rows [][]float64, labels []float64) (loss float64) {
	gradient, bias := make([]float64, len(m.Weights)), 0.0
	for r, row := range rows {
		p := m.Score(row)
		loss -= labels[r]*math.Log(max(p, 1e-12)) + (1-labels[r])*math.Log(max(1-p, 1e-12))
		bias += p - labels[r]
		for i, v := range row {
			if !math.IsNaN(v) {
				gradient[i] += (p - labels[r]) * (v - m.Mean[i]) / m.Scale[i]
			}
		}
	}
	n := float64(len(rows))
	for i := range m.Weights {
		m.Weights[i] -= rate * gradient[i] / n
	}
	m.Bias -= rate * bias / n
	return loss / n
}
