package cli

import (
	"bufio"
	"fmt"
	"net/url"
	"os"
	"strings"

	"golang.org/x/term"

	"github.com/alvara-ml/alvara/cli/document"
)

// confirmFlags let a command ask before it destroys something. Scripts, which have no terminal, say --yes.
type confirmFlags struct {
	Yes bool `short:"y" help:"Do not ask."`
}

func (f confirmFlags) confirm(c *Call, what string) error {
	if f.Yes {
		return nil
	}
	file, ok := c.Program.Stdin.(*os.File)
	if !ok || !term.IsTerminal(int(file.Fd())) {
		return usagef("this would %s; say --yes to do it without being asked", what)
	}
	fmt.Fprintf(c.Program.Stderr, "This will %s. Go on? (y/N): ", what)
	answer, err := bufio.NewReader(file).ReadString('\n')
	if err != nil {
		return err
	}
	if answer = strings.ToLower(strings.TrimSpace(answer)); answer != "y" && answer != "yes" {
		return fmt.Errorf("nothing was done")
	}
	return nil
}

func tagFilter(tag string) url.Values {
	if tag == "" {
		return nil
	}
	name, value, has := strings.Cut(tag, "=")
	filter := "tagName eq '" + odata(name) + "'"
	if has {
		filter += " and tagValue eq '" + odata(value) + "'"
	}
	return url.Values{"$filter": {filter}}
}

// hasTag checks what tagFilter asks for, since a server may leave the filter out; "" fits everything.
func hasTag(object *document.Object, tag string) bool {
	name, value, has := strings.Cut(tag, "=")
	given, ok := object.Object("tags").Fold(name).(string)
	return tag == "" || (ok && (!has || given == value))
}

// odata escapes text for its place between single quotes in a $filter.
func odata(text string) string { return strings.ReplaceAll(text, "'", "''") }
