package cli

import (
	"fmt"
	"net/http"
	"strings"
	"unicode"

	"github.com/alvara-ml/alvara/cli/document"
)

const doctorColumns = "[].{Level:level, Finding:id, What:what, Message:message}"

type doctorCommand struct {
	workspaceName
	confirmFlags
	Strict bool `help:"Exit with 4 for warnings too."`
	Fix    bool `help:"Run the commands that cure what was found, as who is signed in, and look again. Those that take something away, or leave a choice, are left to you."`
}

// Help is what --help tells below the first line.
func (*doctorCommand) Help() string {
	return `Looks for what keeps a workspace or a feature store from working, or leaves it open: roles that an identity lacks, computes that are older than the registry, passwords and keys that are turned on, identities that are gone. Each finding says why it matters and which commands cure it, each on a line of its own. What you may not read is named, and not checked.

Exit codes: 0 when there is no error among the findings, 4 when there is (with --strict: or a warning), 1 when the workspace could not be looked at, 3 when there is none of that name. Without --output the findings are written to be read; with it they are data.`
}

func (d *doctorCommand) Run(c *Call) error {
	path, err := d.path(c)
	if err != nil {
		return err
	}
	found, err := c.examine(path)
	if err != nil {
		return err
	}
	if d.Fix {
		if found, err = d.fix(c, path, found); err != nil {
			return err
		}
	}
	if c.outputChosen || c.Globals.Query != "" {
		err = c.PrintColumns(found, doctorColumns)
	} else {
		_, err = fmt.Fprint(c.Program.Stdout, c.Program.renamer.shown(doctorReport(d.Name, found)))
	}
	if err != nil {
		return err
	}
	errors, warnings := count(found, "error"), count(found, "warning")
	if errors > 0 || (d.Strict && warnings > 0) {
		return &findings{fmt.Sprintf("the workspace %s has %s and %s", d.Name, plural(errors, "error"), plural(warnings, "warning"))}
	}
	return nil
}

// findings is the error of a workspace in which something is not as it should be.
type findings struct{ message string }

func (f *findings) Error() string { return f.message }

// examine asks the server what it finds in a workspace.
func (c *Call) examine(path string) ([]*document.Object, error) {
	answer, err := c.arm(http.MethodPost, path+"/doctor", machineLearnAPI, nil)
	if err != nil {
		return nil, err
	}
	return answer.Objects("value"), nil
}

func count(found []*document.Object, level string) int {
	n := 0
	for _, f := range found {
		if f.Text("level") == level {
			n++
		}
	}
	return n
}

func plural(n int, what string) string {
	switch n {
	case 0:
		return "no " + what + "s"
	case 1:
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// doctorReport writes findings to be read. A command stands on a line of its own.
func doctorReport(workspace string, found []*document.Object) string {
	var b strings.Builder
	for _, f := range found {
		mark, known := map[string]string{"error": "✗", "warning": "!"}[f.Text("level")]
		if !known {
			mark = "i"
		}
		fmt.Fprintf(&b, "%s %s: %s\n", mark, printable(f.Text("id")), wrapped(f.Text("message")))
		if why := f.Text("why"); why != "" {
			fmt.Fprintf(&b, "  %s\n", wrapped(why))
		}
		if manual, _ := f.Get("manual").(bool); manual && len(cures(f)) > 0 {
			b.WriteString("  This is yours to decide, and --fix leaves it to you:\n")
		}
		for _, cure := range cures(f) {
			fmt.Fprintf(&b, "    %s\n", printable(cure))
		}
		b.WriteByte('\n')
	}
	fmt.Fprintf(&b, "%s: %s, %s, %s\n", workspace, plural(count(found, "error"), "error"), plural(count(found, "warning"), "warning"), plural(count(found, "info"), "note"))
	return b.String()
}

func cures(finding *document.Object) []string {
	var out []string
	for _, one := range finding.List("cure") {
		if text, ok := one.(string); ok {
			out = append(out, text)
		}
	}
	return out
}

// printable leaves out what would steer a terminal: names that somebody else chose are printed here.
func printable(text string) string {
	return strings.Map(func(c rune) rune {
		if unicode.IsControl(c) {
			return -1
		}
		return c
	}, text)
}

const reportWidth = 100 // characters of a line that is not a command

// wrapped breaks a text into lines; those after the first are indented.
func wrapped(text string) string {
	var b strings.Builder
	at := 0
	for _, word := range strings.Fields(printable(text)) {
		n := len([]rune(word))
		switch {
		case at == 0:
		case at+1+n > reportWidth:
			b.WriteString("\n  ")
			at = 0
		default:
			b.WriteByte(' ')
			at++
		}
		b.WriteString(word)
		at += n
	}
	return b.String()
}
