// Package model is the example of a training job and an online endpoint: a logistic regression over the fraud example's training
// set, kept with its feature retrieval specification, and a server that scores accounts by their online features. The files beside
// this one are the job, the environment, the endpoint and the deployment as a user would write them. The two programs inside the
// image are this program's own, under the name `alvara example`, so that the example needs no image from elsewhere.
package model

import (
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strings"

	"github.com/alvara-ml/alvara/examples/image"
)

//go:embed *.yaml src
var files embed.FS

// File is the name of the model in its folder.
const File = "model.json"

// Copy writes the example's files into a folder, with the placeholders filled in, such as IMAGE.
func Copy(dir string, values map[string]string) error {
	return fs.WalkDir(files, ".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		target := filepath.Join(dir, filepath.FromSlash(path))
		if entry.IsDir() {
			return os.MkdirAll(target, 0o755)
		}
		text, err := files.ReadFile(path)
		if err != nil {
			return err
		}
		for name, value := range values {
			text = []byte(strings.ReplaceAll(string(text), name, value))
		}
		return os.WriteFile(target, text, 0o644)
	})
}

// Context writes the context of the image into a folder: a Dockerfile, this machine's shell, and this program.
func Context(dir string) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	return image.Programs(dir, map[string]string{"/bin/sh": "/bin/sh", self: "/bin/alvara"},
		"FROM scratch\nCOPY rootfs /\nENV PATH=/bin\nCMD [\"/bin/alvara\", \"example\", \"serve\"]\n")
}

// Model is a logistic regression over standardized features.
type Model struct {
	Features []string  `json:"features"` // columns, in the order of Weights
	Mean     []float64 `json:"mean"`
	Scale    []float64 `json:"scale"`
	Weights  []float64 `json:"weights"`
	Bias     float64   `json:"bias"`
}

// Score gives the probability for one row of features; what is NaN counts as the mean.
func (m *Model) Score(row []float64) float64 {
	sum := m.Bias
	for i, value := range row {
		if !math.IsNaN(value) {
			sum += m.Weights[i] * (value - m.Mean[i]) / m.Scale[i]
		}
	}
	return 1 / (1 + math.Exp(-sum))
}

func (m *Model) check() error {
	if n := len(m.Features); n == 0 || len(m.Mean) != n || len(m.Scale) != n || len(m.Weights) != n {
		return errors.New("the model's lists are not of one length")
	}
	return nil
}

func (m *Model) write(dir string) error {
	text, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, File), append(text, '\n'), 0o644)
}

// Read reads a model from its folder, or from the only folder in it.
func Read(dir string) (*Model, string, error) {
	if _, err := os.Stat(filepath.Join(dir, File)); err != nil {
		found, err := filepath.Glob(filepath.Join(dir, "*", File))
		if err != nil || len(found) != 1 {
			return nil, "", fmt.Errorf("%s has no %s", dir, File)
		}
		dir = filepath.Dir(found[0])
	}
	text, err := os.ReadFile(filepath.Join(dir, File))
	if err != nil {
		return nil, "", err
	}
	m := &Model{}
	if err := json.Unmarshal(text, m); err != nil {
		return nil, "", err
	}
	return m, dir, m.check()
}
