// Package bench measures how fast Alvara is: each measurement runs the work and the limit that it is held against in turns,
// in one run, and gives the ratio of medians. It owns the programs of the measurements P1 to P8 and their JSON. It leaves the
// worlds of access checks to accessbench, the joins and aggregations to enginebench, and printing to the command line.
//
// What serves is served by a process of its own, started with the command line as a user starts it, with authorization and
// audit on; clients and limits are other processes, so that processor time is nobody else's.
package bench

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"time"
)

// Cost is what a side of a measurement needed: medians over the rounds, in seconds and in MiB.
type Cost struct {
	Wall float64 `json:"wall_s"`
	CPU  float64 `json:"cpu_s"`
	Peak float64 `json:"peak_rss_mb"`
}

// Measurement is one comparison. Ratio is ours divided by the limit, on the quantity that Target names.
type Measurement struct {
	ID     string  `json:"id"`
	Name   string  `json:"name"`
	Ratio  float64 `json:"ratio"`
	Target string  `json:"target"`
	Met    bool    `json:"met"`
	Ours   Cost    `json:"ours"`
	Limit  Cost    `json:"limit"`
	Peer   *Cost   `json:"peer"` // null: measured by the scripts below peers, in runs of their own
	Size   string  `json:"size"`
}

// Options say what to measure.
type Options struct {
	IDs     []string  // "P1" …; empty means all
	Scale   int       // sizes are divided by it; 0 means 1, the size that the targets are for
	Rounds  int       // of each side; 0 means 5
	Program []string  // starts the command line; nil is this program
	Dir     string    // for data; "" means a folder in the system's temporary one
	Log     io.Writer // takes a line for each step; nil: silent
}

type benchmark struct {
	id  string
	run func(b *run, ctx context.Context) ([]Measurement, error)
}

var benchmarks = []benchmark{
	{"P1", inChild("P1")},
	{"P2", inChild("P2")},
	{"P3", (*run).online},
	{"P4", (*run).retrieval},
	{"P5", (*run).materialization},
	{"P6", (*run).registry},
	{"P7", (*run).start},
	{"P8", (*run).jobs},
}

// IDs names the measurements in order.
func IDs() []string {
	ids := make([]string, len(benchmarks))
	for i, b := range benchmarks {
		ids[i] = b.id
	}
	return ids
}

// Run runs the measurements. The program must call Child before anything else, because it starts itself again.
func Run(ctx context.Context, options Options) ([]Measurement, error) {
	chosen := map[string]bool{}
	for _, id := range options.IDs {
		id = strings.ToUpper(id)
		if !slices.Contains(IDs(), id) {
			return nil, fmt.Errorf("there is no measurement %q; there are %s", id, strings.Join(IDs(), ", "))
		}
		chosen[id] = true
	}
	if len(options.Program) == 0 {
		self, err := os.Executable()
		if err != nil {
			return nil, err
		}
		options.Program = []string{self}
	}
	options.Scale, options.Rounds = max(options.Scale, 1), options.rounds()
	dir, err := os.MkdirTemp(options.Dir, "alvara-bench-") // short: there is a Unix socket in it
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(dir) }() // scratch
	b := &run{Options: options, dir: dir}
	all := []Measurement{}
	for _, benchmark := range benchmarks {
		if len(chosen) > 0 && !chosen[benchmark.id] {
			continue
		}
		b.say("%s …", benchmark.id)
		began := time.Now()
		found, err := benchmark.run(b, ctx)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", benchmark.id, err)
		}
		for _, m := range found {
			b.say("%s %s: %.2f × the limit (target: %s) [%s]", m.ID, m.Name, m.Ratio, m.Target, m.Size)
		}
		b.say("%s took %s", benchmark.id, time.Since(began).Round(time.Second))
		all = append(all, found...)
	}
	return all, nil
}

func (o Options) rounds() int {
	if o.Rounds <= 0 {
		return 5
	}
	return o.Rounds
}

// run is one call of Run.
type run struct {
	Options
	dir string
}

func (b *run) say(format string, args ...any) {
	if b.Log != nil {
		_, _ = fmt.Fprintf(b.Log, format+"\n", args...) // a closed terminal stops nothing
	}
}

func (b *run) program(args ...string) []string {
	return append(slices.Clone(b.Program), args...)
}

// child runs this program for a part of a measurement and decodes what it answers.
func (b *run) child(ctx context.Context, mode string, input, output any) error {
	text, err := json.Marshal(input)
	if err != nil {
		return err
	}
	command := b.program(childArgument, mode)
	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	cmd.Stdin, cmd.Dir = strings.NewReader(string(text)), b.dir
	var stderr strings.Builder
	cmd.Stderr = &stderr
	answer, err := cmd.Output()
	if err != nil {
		return fmt.Errorf("%s: %w: %s", mode, err, stderr.String())
	}
	return json.Unmarshal(answer, output)
}
