package cli

import (
	"slices"
	"strings"

	"github.com/alecthomas/kong"
)

// az allows spellings that the parser does not know by itself. normalize rewrites them:
//
//   - a list after one flag: `--features a b c` becomes `--features a --features b --features c`;
//   - other spellings of a flag, given by the tag alt:"-g,-fs": `-fs store` becomes `--feature-store store`;
//   - a switch with its value after a space: `--admin-enabled false` becomes `--admin-enabled=false`;
//   - a flag with a space before it, which is what a shell makes of a backslash in the midst of a line (`-w ws \ -g rg`).
//
// A list with the tag each:"" takes one value after each flag, so that a positional argument may follow it.
// Everything after `--` stays as it is.
func normalize(root *kong.Node, args []string) []string {
	args = unspaced(args)
	leaf := findLeaf(root, args)
	flags := flagsOf(leaf)
	out := make([]string, 0, len(args))
	for i := 0; i < len(args); i++ {
		arg := args[i]
		if arg == "--" {
			return append(out, args[i:]...)
		}
		name, value, joined := strings.Cut(arg, "=")
		flag := findFlag(flags, name)
		if flag == nil {
			out = append(out, arg)
			continue
		}
		name = "--" + flag.Name
		if joined {
			out = append(out, name+"="+value)
			continue
		}
		if flag.IsBool() && i+1 < len(args) && (args[i+1] == "true" || args[i+1] == "false") {
			i++
			out = append(out, name+"="+args[i])
			continue
		}
		if flag.IsBool() || flag.Tag.Has("each") || !(flag.IsSlice() || flag.IsMap()) {
			out = append(out, name)
			if !flag.IsBool() && i+1 < len(args) && !isFlag(args[i+1]) {
				i++
				out = append(out, args[i])
			}
			continue
		}
		values := 0
		for i+1 < len(args) && !isFlag(args[i+1]) {
			i++
			values++
			out = append(out, name+"="+args[i])
		}
		if values == 0 {
			out = append(out, name)
		}
	}
	return out
}

// unspaced takes the spaces from before flags.
func unspaced(args []string) []string {
	out := slices.Clone(args)
	for i, arg := range out {
		if arg == "--" {
			break
		}
		if trimmed := strings.TrimLeft(arg, " "); trimmed != arg && isFlag(trimmed) && !strings.Contains(trimmed, " ") {
			out[i] = trimmed
		}
	}
	return out
}

// groupOnly tells whether the arguments name a group of commands and nothing else, which prints its help.
func groupOnly(root *kong.Node, args []string) bool {
	if slices.ContainsFunc(args, func(arg string) bool { return strings.HasPrefix(arg, "-") }) {
		return false
	}
	at := root
	for _, arg := range args {
		if at = child(at, arg); at == nil {
			return false
		}
	}
	return len(at.Children) > 0
}

func findLeaf(root *kong.Node, args []string) *kong.Node {
	at := root
	for i := 0; i < len(args) && args[i] != "--"; i++ {
		if strings.HasPrefix(args[i], "-") {
			name, _, joined := strings.Cut(args[i], "=")
			if flag := findFlag(flagsOf(at), name); flag != nil && !flag.IsBool() && !joined {
				i++
			}
			continue
		}
		next := child(at, args[i])
		if next == nil {
			break
		}
		at = next
	}
	return at
}

func child(node *kong.Node, name string) *kong.Node {
	for _, c := range node.Children {
		if c.Type == kong.CommandNode && (c.Name == name || slices.Contains(c.Aliases, name)) {
			return c
		}
	}
	return nil
}

func flagsOf(node *kong.Node) []*kong.Flag {
	var flags []*kong.Flag
	for at := node; at != nil; at = at.Parent {
		flags = append(flags, at.Flags...)
	}
	return flags
}

func findFlag(flags []*kong.Flag, name string) *kong.Flag {
	for _, flag := range flags {
		if name == "--"+flag.Name || (flag.Short != 0 && name == "-"+string(flag.Short)) {
			return flag
		}
		for _, alias := range flag.Aliases {
			if name == "--"+alias {
				return flag
			}
		}
		if alternatives := flag.Tag.Get("alt"); alternatives != "" && slices.Contains(strings.Split(alternatives, ","), name) {
			return flag
		}
	}
	return nil
}

// isFlag tells a flag from a value: "-" alone and negative numbers are values.
func isFlag(arg string) bool {
	return len(arg) > 1 && arg[0] == '-' && (arg[1] < '0' || arg[1] > '9') && arg[1] != '.'
}
