package cli

import (
	"fmt"
	"io"
	"sort"
	"strings"

	"github.com/alecthomas/kong"
)

// completeCommand is the hidden first argument with which a completion script asks for candidates.
const completeCommand = "__complete"

type completionCommand struct {
	Shell string `arg:"" enum:"bash,zsh,fish" help:"Shell: ${enum}."`
}

func (s *completionCommand) Run(c *Call) error {
	_, err := io.WriteString(c.Program.Stdout, strings.ReplaceAll(scripts[s.Shell], ownName, c.Program.name()))
	return err
}

// The scripts only carry the words to the program and its candidates back, so that they never go out of date. Without
// candidates the shell completes file names.
var scripts = map[string]string{
	"bash": `_alvara() {
  local IFS=$'\n'
  COMPREPLY=($(alvara __complete -- "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null | cut -f1))
}
complete -o default -o bashdefault -F _alvara alvara
`,
	"zsh": `#compdef alvara
_alvara() {
  local -a candidates
  local name help
  while IFS=$'\t' read -r name help; do
    candidates+=("${name//:/\\:}:${help}")
  done < <(alvara __complete -- "${(@)words[2,CURRENT]}" 2>/dev/null)
  if (( ${#candidates} )); then _describe alvara candidates; else _files; fi
}
compdef _alvara alvara
`,
	"fish": `function __alvara_complete
  set -l words (commandline -opc) (commandline -ct)
  alvara __complete -- $words[2..-1] 2>/dev/null
end
complete -c alvara -a '(__alvara_complete)'
`,
}

// complete prints the candidates for the last of the words, one per line, with a help text after a tab.
func complete(w io.Writer, model *kong.Application, words []string) int {
	if len(words) > 0 && words[0] == "--" {
		words = words[1:]
	}
	last := ""
	if len(words) > 0 {
		last = words[len(words)-1]
		words = words[:len(words)-1]
	}
	node := findLeaf(model.Node, words)
	flags := flagsOf(node)
	var out []string
	add := func(name, help string) {
		if strings.HasPrefix(name, last) {
			help, _, _ = strings.Cut(help, "\n")
			out = append(out, name+"\t"+help)
		}
	}
	if flag := valueFlag(flags, words); flag != nil {
		for _, value := range flag.EnumSlice() {
			add(value, flag.Help)
		}
		if !(flag.IsSlice() && strings.HasPrefix(last, "-")) {
			return printCandidates(w, out)
		}
	}
	if strings.HasPrefix(last, "-") {
		used := map[string]bool{}
		for _, word := range words {
			if flag := findFlag(flags, word); flag != nil && !flag.IsSlice() {
				used[flag.Name] = true
			}
		}
		for _, flag := range flags {
			if !flag.Hidden && !used[flag.Name] {
				add("--"+flag.Name, flag.Help)
			}
		}
		return printCandidates(w, out)
	}
	for _, c := range node.Children {
		if !c.Hidden {
			add(c.Name, c.Help)
		}
	}
	for _, positional := range node.Positional {
		for _, value := range positional.EnumSlice() {
			add(value, positional.Help)
		}
	}
	return printCandidates(w, out)
}

// valueFlag is the flag whose value the next word is, or nil.
func valueFlag(flags []*kong.Flag, words []string) *kong.Flag {
	for i := len(words) - 1; i >= 0; i-- {
		if !isFlag(words[i]) {
			continue
		}
		flag := findFlag(flags, words[i])
		if flag == nil || flag.IsBool() || (i < len(words)-1 && !flag.IsSlice()) {
			return nil
		}
		return flag
	}
	return nil
}

func printCandidates(w io.Writer, candidates []string) int {
	sort.Strings(candidates)
	for _, candidate := range candidates {
		if _, err := fmt.Fprintln(w, candidate); err != nil {
			return ExitError
		}
	}
	return ExitOK
}
