package cli

import (
	"path/filepath"
	"regexp"
	"strings"

	"github.com/alecthomas/kong"
)

// ownName is the name under which messages, examples and the server's own words speak of the program.
const ownName = "alvara"

// CalledAs is the name of the program as a user called it: az when the binary, or a link to it, has that name, and alvara under any
// other. Scripts that are written for the one run with the other unchanged.
func CalledAs(argument string) string {
	base := filepath.Base(strings.ReplaceAll(argument, `\`, "/"))
	if strings.EqualFold(strings.TrimSuffix(strings.ToLower(base), ".exe"), "az") {
		return "az"
	}
	return ownName
}

func (p *Program) name() string {
	if p.Name == "" {
		return ownName
	}
	return p.Name
}

// renamer shows commands in a text under the name that the program was called by.
type renamer struct {
	name    string
	command *regexp.Regexp // the program's own name before one of its commands
}

func newRenamer(name string, root *kong.Node) *renamer {
	var words []string
	for _, command := range root.Children {
		words = append(words, regexp.QuoteMeta(command.Name))
	}
	return &renamer{name: name, command: regexp.MustCompile(`\b` + ownName + ` (` + strings.Join(words, "|") + `|--help)\b`)}
}

// shown gives the text as it is to be printed. Only commands change: a path or a host that has the name in it stays.
func (r *renamer) shown(text string) string {
	if r == nil || r.name == ownName {
		return text
	}
	return r.command.ReplaceAllString(text, r.name+" $1")
}
