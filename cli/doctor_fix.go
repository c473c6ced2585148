package cli

import (
	"fmt"
	"io"
	"strings"

	"github.com/alvara-ml/alvara/cli/document"
)

// cureCommands are the commands that a cure may be: what a server says is run only when it is one of these.
var cureCommands = []string{
	"role assignment create", "role assignment delete", "acr create", "acr update", "storage account create", "storage account update", "storage container create",
	"ml computetarget amlcompute identity assign", "ml computetarget amlcompute identity remove", "ml compute update", "ml connection create",
}

// fixRounds bounds how often is looked again: a cure may bring to light what was behind it.
const fixRounds = 5

// fix runs the cures that need nobody's decision, looks again, and goes on while that brings something new to light.
func (d *doctorCommand) fix(c *Call, path string, found []*document.Object) ([]*document.Object, error) {
	tried := map[string]bool{}
	for range fixRounds {
		commands := untried(found, tried)
		if len(commands) == 0 {
			break
		}
		if err := d.cure(c, commands); err != nil {
			return nil, err
		}
		var err error
		if found, err = c.examine(path); err != nil {
			return nil, err
		}
	}
	return found, nil
}

// untried gives the cures of findings that need nobody's decision, each once, and remembers them as tried.
func untried(found []*document.Object, tried map[string]bool) []string {
	var out []string
	for _, f := range found {
		if manual, _ := f.Get("manual").(bool); manual {
			continue
		}
		for _, cure := range cures(f) {
			if !tried[cure] {
				tried[cure] = true
				out = append(out, cure)
			}
		}
	}
	return out
}

// cure runs commands after a question. One that fails is told of, and the others run all the same.
func (d *doctorCommand) cure(c *Call, commands []string) error {
	lines := make([][]string, len(commands))
	for i, text := range commands {
		var err error
		if lines[i], err = cureLine(text); err != nil {
			return err
		}
		fmt.Fprintln(c.Program.Stderr, c.Program.renamer.shown(printable(text)))
	}
	if err := d.confirm(c, "run the commands above"); err != nil {
		return err
	}
	for i, args := range lines {
		if c.Globals.Subscription != "" {
			args = append(args, "--subscription", c.Globals.Subscription)
		}
		inner := *c.Program
		inner.Stdout = io.Discard
		if code := inner.Run(c.ctx, args); code != ExitOK {
			c.Warn("this has failed: %s", printable(commands[i]))
		}
	}
	return nil
}

// cureLine takes a command apart as a shell would, without the program's name. What is no cure is refused.
func cureLine(text string) ([]string, error) {
	args, err := splitCommand(text)
	if err != nil {
		return nil, err
	}
	if len(args) > 0 && args[0] == ownName {
		line := strings.Join(args[1:], " ")
		for _, known := range cureCommands {
			if strings.HasPrefix(line, known+" ") {
				return args[1:], nil
			}
		}
	}
	return nil, fmt.Errorf("the server names a cure that is none, and it is not run: %s", printable(text))
}

// splitCommand splits a line at its spaces, but for those in quotes. Nothing in it is expanded.
func splitCommand(line string) ([]string, error) {
	var out []string
	var word strings.Builder
	in, escaped, quote := false, false, rune(0)
	for _, c := range line {
		switch {
		case escaped:
			word.WriteRune(c)
			escaped = false
		case c == '\\' && quote != '\'':
			in, escaped = true, true
		case quote != 0 && c == quote:
			quote = 0
		case quote != 0:
			word.WriteRune(c)
		case c == '\'' || c == '"':
			in, quote = true, c
		case c == ' ' || c == '\t':
			if in {
				out = append(out, word.String())
				word.Reset()
				in = false
			}
		default:
			in = true
			word.WriteRune(c)
		}
	}
	if quote != 0 || escaped {
		return nil, fmt.Errorf("the quotes of a command do not end: %s", printable(line))
	}
	if in {
		out = append(out, word.String())
	}
	return out, nil
}
