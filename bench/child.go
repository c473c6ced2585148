package bench

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/signal"

	"github.com/alvara-ml/alvara/featurestore/engine/enginebench"
)

// childArgument is the hidden argument by which this program runs a part of a measurement: the program, childArgument, mode,
// with JSON on standard input and output.
const childArgument = "__bench"

// Child runs a part of a measurement when this program was started for one. A main calls it before anything else and exits
// with the status.
func Child(args []string) (status int, ours bool) {
	if enginebench.IsRaw(args) {
		return enginebench.RawMain(args), true
	}
	if len(args) != 3 || args[1] != childArgument {
		return 0, false
	}
	modes := map[string]func(context.Context, io.Reader, io.Writer) error{
		"P1": mode(accessChecks), "P2": mode(tokens), "client": mode(load), "parts": mode(parts), "echo": echo,
		"transfer": mode(carry), "sha256": mode(hashing), "file": fileServer,
	}
	do, known := modes[args[2]]
	if !known {
		return 0, false
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := do(ctx, os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1, true
	}
	return 0, true
}

// mode makes a child's mode of a function.
func mode[In, Out any](do func(context.Context, In) (Out, error)) func(context.Context, io.Reader, io.Writer) error {
	return func(ctx context.Context, stdin io.Reader, stdout io.Writer) error {
		var in In
		if err := json.NewDecoder(stdin).Decode(&in); err != nil {
			return err
		}
		out, err := do(ctx, in)
		if err != nil {
			return err
		}
		return json.NewEncoder(stdout).Encode(out)
	}
}

// effort is how much a measurement in a child is to do.
type effort struct{ Scale, Rounds int }

// inChild runs a measurement in a process of its own, so that nothing else is on its heap.
func inChild(id string) func(*run, context.Context) ([]Measurement, error) {
	return func(b *run, ctx context.Context) ([]Measurement, error) {
		var found []Measurement
		err := b.child(ctx, id, effort{b.Scale, b.Rounds}, &found)
		return found, err
	}
}
