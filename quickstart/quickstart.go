// Package quickstart is the tour: it starts a server on embedded defaults and runs the main job on it, command by command,
// so that whoever watches can repeat each step. It holds no logic of its own: every step is an alvara command, run as the
// person whose step it is.
package quickstart

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/alvara-ml/alvara/examples/fraud"
)

// Server is the server that the tour runs on.
type Server interface {
	URL() string
	Close(ctx context.Context) error
}

// Options say what to show and where.
type Options struct {
	Act         string // one of Acts, or All
	Dir         string // the data folder
	Exit        bool   // stop the server at the end instead of staying up
	Interactive bool   // Stderr is a terminal, which takes progress bars
	Size        fraud.Size
	Stdout      io.Writer
	Stderr      io.Writer
	// Open starts the server in Dir.
	Open func(ctx context.Context) (Server, error)
	// Command runs one alvara command with an environment of its own and gives its exit code.
	Command func(ctx context.Context, env func(string) string, stdout, stderr io.Writer, args []string) int
}

// Acts are what can be shown, in their order.
var Acts = []string{"features", "registry", "workspace"}

// All is the act that is all acts, one after the other.
const All = "all"

// Run shows one act, or all of them.
func Run(ctx context.Context, options Options) (err error) {
	started := time.Now()
	server, err := options.Open(ctx)
	if err != nil {
		return err
	}
	defer func() {
		closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second)
		defer cancel()
		if failed := server.Close(closing); err == nil {
			err = failed
		}
	}()
	t := &tour{Options: options, ctx: ctx}
	defer func() {
		if removed := t.endServing(); err == nil {
			err = removed
		}
	}()
	t.say("The server is up at %s, its data in %s.", server.URL(), options.Dir)
	for _, act := range Acts {
		if !t.shows(act) {
			continue
		}
		show := map[string]func() error{"features": t.features, "registry": t.registry, "workspace": t.workspace}[act]
		if err := show(); err != nil {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			return err
		}
	}
	t.title("How to go on (%s so far)", time.Since(started).Round(time.Second))
	t.goOn()
	if options.Exit {
		return nil
	}
	t.say("\nThe server stays up. Press Ctrl-C to stop it; `alvara serve --data %s` starts it again.", options.Dir)
	<-ctx.Done()
	return nil
}

// goOn says what somebody who has seen the acts can do next.
func (t *tour) goOn() {
	t.say("In another terminal:\n")
	t.say("  eval \"$(alvara env --data %s)\"       # so that az, the Azure SDKs, docker, Spark and pandas find the server", t.Dir)
	t.say("  alvara login --local --data %s        # you own the data folder, so you are the administrator", t.Dir)
	if t.shows("features") {
		t.say("  alvara ml feature-set list --feature-store %s -g %s -o table", store, group)
	}
	if t.shows("registry") {
		t.say("  alvara acr repository list -n %s", registryName)
	}
	if t.shows("workspace") {
		t.say("  alvara ml job list -w %s -g %s -o table", workspace, trainingGroup)
		t.say("  alvara doctor -w %s -g %s", workspace, trainingGroup)
	}
	t.say("  alvara role assignment list --all -o table")
	t.say("  less %s   # every decision, allowed and refused", filepath.Join(t.Dir, "audit", "audit.log"))
	t.say("\nThe files and the commands of this tour are in %s and in examples.", filepath.Join(t.Dir, "quickstart"))
}

// shows tells whether an act is part of the showing.
func (t *tour) shows(act string) bool { return t.Act == All || t.Act == act }

// tour is one showing.
type tour struct {
	Options
	ctx   context.Context
	step  int
	actor string
	// serving says that the tour has an endpoint whose instances run.
	serving bool
}

// errStep is a step that did not end as it should.
var errStep = errors.New("the tour ended early")

func (t *tour) say(format string, args ...any) { fmt.Fprintf(t.Stdout, format+"\n", args...) }

func (t *tour) title(format string, args ...any) {
	t.step++
	text := fmt.Sprintf(format, args...)
	t.say("\n%d. %s\n%s", t.step, text, strings.Repeat("─", len([]rune(text))+3))
}

// as changes who runs the commands: each person has a profile, and so tokens, of its own.
func (t *tour) as(actor string) { t.actor = actor }

func (t *tour) env(name string) string {
	if name == "ALVARA_CONFIG_DIR" {
		return filepath.Join(t.Dir, "quickstart", "profiles", t.actor)
	}
	if name == "DOCKER_CONFIG" {
		return filepath.Join(t.Dir, "quickstart", "profiles", t.actor, "docker")
	}
	if strings.HasPrefix(name, "AZURE_") || strings.HasPrefix(name, "ALVARA_") || name == "SSL_CERT_FILE" {
		return "" // what the surrounding shell is signed in to is not the tour's
	}
	return os.Getenv(name)
}

// run runs a command that must succeed, shows it, and gives its output.
func (t *tour) run(args ...string) ([]byte, error) {
	code, stdout, stderr := t.command(args)
	if code != 0 {
		if t.ctx.Err() != nil {
			return nil, t.ctx.Err()
		}
		t.say("%s", strings.TrimSpace(stderr))
		return nil, fmt.Errorf("%w: %q ended with exit code %d", errStep, "alvara "+strings.Join(args, " "), code)
	}
	return stdout, nil
}

// show is run, and prints the output.
func (t *tour) show(args ...string) error {
	out, err := t.run(args...)
	if err == nil {
		t.say("%s", indent(string(out)))
	}
	return err
}

// refused runs a command that must be refused, and shows how it is.
func (t *tour) refused(args ...string) error {
	code, _, stderr := t.command(args)
	if code == 0 {
		return fmt.Errorf("%w: %q should have been refused", errStep, "alvara "+strings.Join(args, " "))
	}
	t.say("%s", indent(wrap(strings.TrimSpace(stderr), 118)))
	return nil
}

// field runs a command and gives one string of its output.
func (t *tour) field(query string, args ...string) (string, error) {
	out, err := t.run(append(args, "--query", query, "-o", "tsv")...)
	return strings.TrimSpace(string(out)), err
}

// quietly runs a command that prepares something and gives its JSON.
func (t *tour) quietly(into any, args ...string) error {
	out, err := t.run(args...)
	if err != nil {
		return err
	}
	return json.Unmarshal(out, into)
}

func (t *tour) command(args []string) (code int, stdout []byte, stderr string) {
	t.say("%s $ alvara %s", t.actor, quote(args))
	var out, messages bytes.Buffer
	sink := io.Writer(&messages)
	if t.Interactive {
		sink = io.MultiWriter(&messages, t.Stderr)
	}
	code = t.Command(t.ctx, t.env, &out, sink, args)
	return code, out.Bytes(), messages.String()
}

// quote writes arguments as a shell takes them, without secrets.
func quote(args []string) string {
	words := make([]string, len(args))
	for i, arg := range args {
		words[i] = arg
		if i > 0 && (args[i-1] == "-p" || args[i-1] == "--password") {
			words[i] = "********"
		} else if arg == "" || strings.ContainsAny(arg, " '\"$*{}[]()&;|<>?") {
			words[i] = "'" + strings.ReplaceAll(arg, "'", `'\''`) + "'"
		}
	}
	return strings.Join(words, " ")
}

func indent(text string) string {
	text = strings.TrimRight(text, "\n")
	if text == "" {
		return ""
	}
	return "    " + strings.ReplaceAll(text, "\n", "\n    ")
}

// wrap breaks long lines between words.
func wrap(text string, width int) string {
	var out []string
	for _, line := range strings.Split(text, "\n") {
		for len(line) > width {
			at := strings.LastIndexByte(line[:width], ' ')
			if at <= 0 { // a word that is longer than a line keeps one to itself
				if at = strings.IndexByte(line, ' '); at <= 0 {
					break
				}
			}
			out, line = append(out, line[:at]), line[at+1:]
		}
		out = append(out, line)
	}
	return strings.Join(out, "\n")
}
