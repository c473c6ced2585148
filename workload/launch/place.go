package launch

import (
	"errors"
	"os"
	"path"
	"path/filepath"

	"github.com/alvara-ml/alvara/image/layer"
)

// place is where a run's files are, and where the run sees them.
type place struct {
	outside outside
	inside  inside
}

type outside struct {
	dir, code, inputs, outputs, run string // folders
	hosts                           string // the file /etc/hosts
	ca                              string // the authorities that the run trusts
	identity, serve                 string // sockets
	delivered                       string // a mark: the outputs are where they belong
}

type inside struct {
	code, inputs, outputs, run, metrics, ca string
}

// The names of what is in a run's folder and, inside, in /alvara.
const (
	top         = "/alvara"
	codeName    = "code"
	inputsName  = "inputs"
	outputsName = "outputs"
	runName     = "run"
	metricsName = "metrics.jsonl"
	caName      = "ca.pem"
)

func (l *Launcher) place(id string) place {
	dir := filepath.Join(l.Dir, id)
	if whole, err := filepath.Abs(dir); err == nil {
		dir = whole
	}
	in := func(name string) string { return filepath.Join(dir, name) }
	p := place{outside: outside{
		dir: dir, code: in(codeName), inputs: in(inputsName), outputs: in(outputsName), run: in(runName), hosts: in("hosts"), ca: in(caName),
		identity: in("identity.sock"), serve: in("serve.sock"), delivered: in("delivered"),
	}}
	p.inside = inside{
		code: path.Join(top, codeName), inputs: path.Join(top, inputsName), outputs: path.Join(top, outputsName),
		run: path.Join(top, runName), ca: path.Join(top, caName),
	}
	if !l.isolated() {
		p.inside = inside{code: p.outside.code, inputs: p.outside.inputs, outputs: p.outside.outputs, run: p.outside.run, ca: p.outside.ca}
	}
	p.inside.metrics = path.Join(p.inside.run, metricsName)
	return p
}

// owners are who the root user of runs is outside.
func (l *Launcher) owners() layer.Owners {
	if l.Layers == nil {
		return layer.Owners{}
	}
	return l.Layers.Owners
}

// make makes the folders anew, in the place of what an attempt that was cut off has left. Whoever the image's user is may write where
// runs write.
func (p place) make(owners layer.Owners) error {
	if err := layer.RemoveTree(p.outside.dir); err != nil {
		return err
	}
	if err := os.MkdirAll(p.outside.dir, 0o700); err != nil {
		return err
	}
	for _, folder := range []string{p.outside.inputs, p.outside.code, p.outside.outputs, p.outside.run} {
		if err := os.Mkdir(folder, 0o755); err != nil {
			return err
		}
		if folder == p.outside.inputs {
			continue
		}
		if err := give(folder, owners); err != nil {
			return err
		}
	}
	return nil
}

// give lets every user inside write to a folder, and makes it the root user's.
func give(folder string, owners layer.Owners) error {
	if err := os.Chmod(folder, openMode); err != nil || !owners.Chown {
		return err
	}
	return os.Chown(folder, int(owners.UID), int(owners.GID))
}

// openMode is of what every user inside may write: who an image's user is, is the image's affair.
const openMode = 0o777

// release removes what only the run needed, as far as it is there; what has not been delivered stays.
func (p place) release() error {
	err := errors.Join(layer.RemoveTree(p.outside.inputs), os.RemoveAll(p.outside.hosts), os.RemoveAll(p.outside.ca), os.RemoveAll(p.outside.identity), os.RemoveAll(p.outside.serve))
	if _, missing := os.Stat(p.outside.delivered); missing == nil {
		err = errors.Join(err, layer.RemoveTree(p.outside.outputs))
	}
	entries, listErr := os.ReadDir(p.outside.code)
	if listErr != nil && !errors.Is(listErr, os.ErrNotExist) {
		return errors.Join(err, listErr)
	}
	for _, entry := range entries {
		if entry.Name() != outputsName {
			err = errors.Join(err, layer.RemoveTree(filepath.Join(p.outside.code, entry.Name())))
		}
	}
	return err
}
