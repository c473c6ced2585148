package serving

import (
	"bytes"
	"context"
	"fmt"
	"strings"

	"github.com/alvara-ml/alvara/workload"
)

const (
	tailBytes = 256 << 10 // of an instance's output that is looked at
	lastFew   = 20        // lines of an instance that failed which its error has
)

// tell joins what there is to tell of a deployment with what its instances wrote.
func (c *Controller) tell(ctx context.Context, key string, instances []*instance, lines int) (string, error) {
	told, err := c.Journal.Tail(key, lines)
	if err != nil {
		return "", err
	}
	var out strings.Builder
	for _, line := range told {
		out.WriteString(line + "\n")
	}
	for _, i := range instances {
		i.d.mu.Lock()
		launched := i.launched
		i.d.mu.Unlock()
		if launched == nil {
			continue
		}
		wrote, err := tail(ctx, launched, max(1, lines/len(instances)))
		if err != nil {
			fmt.Fprintf(&out, "instance %d: its output cannot be read at the moment\n", i.record.Number)
			continue
		}
		for _, line := range wrote {
			fmt.Fprintf(&out, "instance %d | %s\n", i.record.Number, line)
		}
	}
	return out.String(), nil
}

// tail gives the last lines that a run wrote.
func tail(ctx context.Context, run workload.Launched, lines int) ([]string, error) {
	status, err := run.Status()
	if err != nil {
		return nil, err
	}
	offset := int64(0)
	if len(status.Nodes) > 0 {
		offset = max(0, status.Nodes[0].LogBytes-tailBytes)
	}
	var text bytes.Buffer
	if _, err := run.Logs(ctx, 0, offset, false, &text); err != nil {
		return nil, err
	}
	all := strings.Split(strings.TrimRight(text.String(), "\n"), "\n")
	if offset > 0 && len(all) > 1 {
		all = all[1:] // the first one may be a part of a line
	}
	if len(all) == 1 && all[0] == "" {
		return nil, nil
	}
	return all[max(0, len(all)-lines):], nil
}

// lastLines is the sentence with the last lines of an instance that failed, with a space before it, and keeps them in the journal.
func (i *instance) lastLines(ctx context.Context, run workload.Launched) string {
	wrote, err := tail(ctx, run, lastFew)
	if err != nil || len(wrote) == 0 {
		return " It wrote nothing."
	}
	for _, line := range wrote {
		i.note("instance %d | %s", i.record.Number, line)
	}
	return " Its last lines: " + strings.Join(wrote, " ⏎ ")
}

func trimDot(text string) string { return strings.TrimRight(text, ". ") }
