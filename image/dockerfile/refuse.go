package dockerfile

import (
	"runtime"
	"strings"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/parser"

	"github.com/alvara-ml/alvara/resource"
)

const useBuildKit = "configure a BuildKit daemon for the full language, or write it without"

// checkSyntax refuses frontends: they are programs from a registry that would build instead of us.
func checkSyntax(text []byte) error {
	syntax, _, location, ok := parser.DetectSyntax(text)
	if !ok {
		return nil
	}
	name, _, _ := strings.Cut(strings.TrimPrefix(syntax, "docker.io/"), ":")
	if name == "docker/dockerfile" && !strings.Contains(syntax, "labs") {
		return nil
	}
	return unsupported(lineOf(location), "# syntax="+syntax, "only docker/dockerfile:1 is understood")
}

// checkPlatform allows this machine's only: the commands of RUN are run, not emulated.
func checkPlatform(platform string, line int) error {
	os, rest, _ := strings.Cut(platform, "/")
	arch, variant, _ := strings.Cut(rest, "/")
	fits := os == "linux" && (arch == "" || arch == runtime.GOARCH || arch == "x86_64" && runtime.GOARCH == "amd64" || arch == "aarch64" && runtime.GOARCH == "arm64") &&
		(variant == "" || arch == "arm64" && variant == "v8")
	if platform == "" || fits {
		return nil
	}
	refused := resource.Errorf(resource.Unsupported, "UnsupportedPlatform",
		"%s: the platform %s cannot be built here; this machine builds linux/%s.", place(line), platform, runtime.GOARCH)
	return refused.At("platform")
}

// refuse names what an instruction asks for and does not get.
func refuse(c instructions.Command) error {
	line := lineOf(c.Location())
	switch c := c.(type) {
	case *instructions.AddCommand:
		return refuseAdd(c, line)
	case *instructions.CopyCommand:
		if c.Parents {
			return unsupported(line, "COPY --parents", "name the folders in the destination")
		}
	case *instructions.RunCommand:
		return refuseRun(c, line)
	}
	return nil
}

func refuseAdd(c *instructions.AddCommand, line int) error {
	switch {
	case c.KeepGitDir != nil:
		return unsupported(line, "ADD --keep-git-dir", "put the files into the context and use COPY")
	case c.Checksum != "":
		return unsupported(line, "ADD --checksum", "it is for downloads; put the file into the context and use COPY")
	}
	for _, source := range c.SourcePaths {
		if err := checkAddSource(source, line); err != nil {
			return err
		}
	}
	return nil
}

// checkAddSource refuses what is fetched from elsewhere: a build takes nothing from a network unless its order says so,
// and a download is not the same input twice.
func checkAddSource(source string, line int) error {
	lower := strings.ToLower(source)
	switch {
	case strings.HasPrefix(lower, "git@"), strings.HasPrefix(lower, "git://"), strings.HasPrefix(lower, "ssh://"),
		strings.Contains(lower, "://") && (strings.HasSuffix(lower, ".git") || strings.Contains(lower, ".git#")):
		return unsupported(line, "ADD of the git repository "+source, "put its files into the context and use COPY")
	case strings.Contains(lower, "://"):
		return unsupported(line, "ADD of the URL "+source, "put the file into the context and use COPY")
	}
	return nil
}

func refuseRun(c *instructions.RunCommand, line int) error {
	switch network := instructions.GetNetwork(c); network {
	case instructions.NetworkHost:
		return unsupported(line, "RUN --network=host", "a build never gets the network of the machine by its Dockerfile; the server's operator can give it to all builds (serve --build-network)")
	}
	if security := instructions.GetSecurity(c); security != "" && security != instructions.SecuritySandbox {
		return unsupported(line, "RUN --security="+security, "commands are always run in the sandbox")
	}
	if len(instructions.GetDevices(c)) > 0 {
		return unsupported(line, "RUN --device", useBuildKit)
	}
	for _, m := range instructions.GetMounts(c) {
		if err := checkMount(m, line); err != nil {
			return err
		}
	}
	if len(c.Files) > 0 && parser.MustParseHeredoc(c.CmdLine[0]) != nil && strings.HasPrefix(c.Files[0].Data, "#!") {
		return unsupported(line, "a heredoc of RUN that begins with #!", "call the interpreter with the heredoc as its input")
	}
	return nil
}

// checkMount is asked twice: types may hold variables until they are expanded.
func checkMount(m *instructions.Mount, line int) error {
	switch m.Type {
	case instructions.MountTypeBind, instructions.MountTypeTmpfs, instructions.MountTypeCache:
		return nil
	}
	return unsupported(line, "RUN --mount=type="+string(m.Type), useBuildKit)
}
