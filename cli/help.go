package cli

import (
	"fmt"
	"strings"

	"github.com/alecthomas/kong"
)

// exampleSeparator divides the examples of one command in its tag.
const exampleSeparator = " ;; "

// examples gives a command's examples; a group has that of its first command.
func examples(node *kong.Node) []string {
	for node != nil {
		if text := node.Tag.Get("example"); text != "" {
			return strings.Split(text, exampleSeparator)
		}
		var first *kong.Node
		for _, c := range node.Children {
			if !c.Hidden {
				first = c
				break
			}
		}
		node = first
	}
	return nil
}

func (p *Program) helpWithExamples(options kong.HelpOptions, ctx *kong.Context) error {
	if err := kong.DefaultHelpPrinter(options, ctx); err != nil {
		return err
	}
	node := ctx.Selected()
	if node == nil {
		node = ctx.Model.Node
		for _, step := range ctx.Path {
			if step.Command != nil {
				node = step.Command
			}
		}
	}
	shown := examples(node)
	if node.Parent == nil {
		shown = []string{
			"alvara quickstart                                        # the main job on a new server",
			"alvara serve --data ./alvara-data                        # a server",
			"alvara login --local --data ./alvara-data                # sign in as the owner of its folder",
			"alvara ml feature-set list --feature-store fs -g rg -o table",
		}
	}
	if len(shown) == 0 {
		return nil
	}
	fmt.Fprintln(ctx.Stdout, "\nExample:")
	for _, example := range shown {
		fmt.Fprintf(ctx.Stdout, "  %s\n", p.renamer.shown(example))
	}
	return nil
}
