package buildkit

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/moby/buildkit/client"
	"github.com/opencontainers/go-digest"

	"github.com/alvara-ml/alvara/image"
)

// log turns what the daemon says of its steps into lines, as docker build --progress=plain has them: each with the number of
// its step. It is used by one goroutine at a time.
type log struct {
	report  image.Report
	secrets *strings.Replacer
	steps   map[digest.Digest]*step
	order   []*step

	cached, ran int // instructions that made or could have made a layer
}

// step is one vertex of the daemon's graph.
type step struct {
	number  int // 0 while it has not begun
	name    string
	started time.Time
	part    string // the last line, while it is not complete
	done    bool
}

func newLog(order image.Order, report image.Report) *log {
	var pairs []string
	for _, argument := range order.Arguments {
		if !argument.Secret {
			continue
		}
		for _, line := range append([]string{argument.Value}, strings.Split(argument.Value, "\n")...) {
			if line != "" && !slices.Contains(pairs, line) {
				pairs = append(pairs, line, "***")
			}
		}
	}
	return &log{report: report, secrets: strings.NewReplacer(pairs...), steps: map[digest.Digest]*step{}}
}

// hide writes *** for every secret in a text.
func (l *log) hide(text string) string { return l.secrets.Replace(text) }

func (l *log) say(line string) {
	if l.report.Log != nil {
		l.report.Log(l.hide(line))
	}
}

func (l *log) update(status *client.SolveStatus) {
	for _, v := range status.Vertexes {
		l.begin(v)
	}
	for _, s := range status.Statuses {
		if at := l.steps[s.Vertex]; at != nil && at.number > 0 && s.Completed != nil {
			line := fmt.Sprintf("#%d %s", at.number, strings.TrimSuffix(s.ID, ":"))
			if s.Total > 0 {
				line += fmt.Sprintf(" %d / %d bytes", s.Current, s.Total)
			}
			l.say(line + took(s.Started, s.Completed) + " done")
		}
	}
	for _, w := range status.Warnings {
		if at := l.steps[w.Vertex]; at != nil && at.number > 0 {
			l.say(fmt.Sprintf("#%d WARN: %s", at.number, w.Short))
		}
	}
	for _, entry := range status.Logs {
		if at := l.steps[entry.Vertex]; at != nil {
			l.output(at, entry)
		}
	}
	for _, v := range status.Vertexes {
		l.end(v)
	}
	if l.report.Progress != nil && len(status.Vertexes) > 0 {
		done := 0
		for _, s := range l.order {
			if s.done {
				done++
			}
		}
		l.report.Progress("build", int64(done), int64(len(l.order)))
	}
}

// begin notes a step. The daemon tells of one step many times.
func (l *log) begin(v *client.Vertex) {
	at := l.steps[v.Digest]
	if at == nil {
		at = &step{name: v.Name}
		l.steps[v.Digest] = at
		l.order = append(l.order, at)
	}
	if at.number == 0 && (v.Started != nil || v.Cached) {
		at.number = 1
		for _, other := range l.order {
			if other != at && other.number >= at.number {
				at.number = other.number + 1
			}
		}
		if v.Started != nil {
			at.started = *v.Started
		}
		l.say(fmt.Sprintf("#%d %s", at.number, v.Name))
	}
}

// end notes that a step is done, after what it had to say.
func (l *log) end(v *client.Vertex) {
	at := l.steps[v.Digest]
	if at.number == 0 || v.Completed == nil || at.done {
		return
	}
	at.done = true
	l.complete(at)
	switch {
	case strings.HasSuffix(v.Error, "context canceled"):
		l.say(fmt.Sprintf("#%d CANCELED", at.number))
	case v.Error != "":
		l.say(fmt.Sprintf("#%d ERROR: %s", at.number, v.Error))
	case v.Cached:
		l.say(fmt.Sprintf("#%d CACHED", at.number))
	default:
		l.say(fmt.Sprintf("#%d DONE%s", at.number, took(v.Started, v.Completed)))
	}
	if instruction.MatchString(v.Name) && v.Error == "" {
		if v.Cached {
			l.cached++
		} else {
			l.ran++
		}
	}
}

func took(from, to *time.Time) string {
	if from == nil || to == nil {
		return ""
	}
	return fmt.Sprintf(" %.1fs", to.Sub(*from).Seconds())
}

// output is what a command writes, with the seconds since its step began.
func (l *log) output(at *step, entry *client.VertexLog) {
	seconds := max(entry.Timestamp.Sub(at.started).Seconds(), 0)
	lines := strings.Split(at.part+string(entry.Data), "\n")
	at.part = lines[len(lines)-1]
	for _, line := range lines[:len(lines)-1] {
		l.say(fmt.Sprintf("#%d %.3f %s", at.number, seconds, strings.TrimSuffix(line, "\r")))
	}
	if len(at.part) > maxLine {
		l.complete(at)
	}
}

// maxLine is how many bytes without an end make a line all the same.
const maxLine = 64 << 10

func (l *log) complete(at *step) {
	if at.part != "" {
		l.say(fmt.Sprintf("#%d %s", at.number, at.part))
		at.part = ""
	}
}

// flush writes what has no end of line.
func (l *log) flush() {
	for _, at := range l.order {
		l.complete(at)
	}
}

var (
	instruction = regexp.MustCompile(`^\[[^\]]*\d+/\d+\] (RUN|COPY|ADD|WORKDIR)\b`)
	baseImage   = regexp.MustCompile(`^\[[^\]]*\] FROM (\S+)@(sha256:[0-9a-f]{64})$`)
)

// bases are the images that the daemon's steps name.
func (l *log) bases() []image.Base {
	var all []image.Base
	for _, s := range l.order {
		found := baseImage.FindStringSubmatch(s.name)
		if found == nil {
			continue
		}
		if base := (image.Base{Reference: found[1], Digest: found[2]}); !slices.Contains(all, base) {
			all = append(all, base)
		}
	}
	return all
}
