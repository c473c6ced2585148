// Package dockerfile reads a Dockerfile into a plan: which stages there are, which of them are needed, what each begins
// with, and, once the configurations of the base images are known, every instruction with its variables expanded. It
// refuses by name and line what is not offered, before anything runs. It touches no file and runs nothing. The language is
// that of docker/dockerfile:1; parser and expansion are BuildKit's own.
package dockerfile

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
	"github.com/moby/buildkit/frontend/dockerfile/shell"

	"github.com/alvara-ml/alvara/resource"
)

// Scratch is the name of the empty base.
const Scratch = "scratch"

// Options are what the caller says about a build.
type Options struct {
	Arguments map[string]string // build arguments by name
	Secret    map[string]bool   // which of them are never shown
	Target    string            // stage to build, by name or number; "" is the last
	Platform  string            // "", "linux" or "linux/<this machine's architecture>"
}

// Plan is a Dockerfile that can be built as far as its text tells.
type Plan struct {
	Stages []*Stage // those that the target needs, in the Dockerfile's order
	Target *Stage   // the last of Stages
	// Warnings are sentences about the Dockerfile for its author.
	Warnings []string

	lex     *shell.Lex
	global  map[string]string // ARGs before the first FROM
	options Options
	used    map[string]bool // build arguments that somebody declared
}

// Stage is one FROM and what follows it.
type Stage struct {
	Index int
	Name  string // lower-case; "" when it has none
	Line  int
	Text  string // the FROM instruction as it is written, with variables expanded
	// Base is the stage that it begins with; nil when that is the image BaseImage, which may be Scratch.
	Base      *Stage
	BaseImage string

	commands []instructions.Command
	// sources are what its COPY and RUN take files from, by the word in the Dockerfile.
	sources map[string]Source
}

// Source is where --from points: a stage or an image.
type Source struct {
	Stage *Stage
	Image string
}

// Sources gives what the stage's instructions take files from, by the word in --from or from=.
func (s *Stage) Sources() map[string]Source { return s.sources }

// Title names a stage in messages.
func (s *Stage) Title() string {
	if s.Name != "" {
		return s.Name
	}
	return "stage " + strconv.Itoa(s.Index)
}

// Parse reads a Dockerfile. Every error is a *resource.Error: Invalid with the line at fault, or Unsupported with the
// name of what is not offered.
func Parse(text []byte, options Options) (*Plan, error) {
	if err := checkPlatform(options.Platform, 0); err != nil {
		return nil, err
	}
	if err := checkSyntax(text); err != nil {
		return nil, err
	}
	if len(bytes.TrimSpace(text)) == 0 {
		return nil, invalid(0, "the Dockerfile is empty; begin it with FROM")
	}
	ast, err := parser.Parse(bytes.NewReader(text))
	if err != nil {
		return nil, fault(err)
	}
	stages, meta, err := instructions.Parse(ast.AST, nil)
	if err != nil {
		return nil, fault(err)
	}
	if len(stages) == 0 {
		return nil, invalid(0, "the Dockerfile has no stage; begin it with FROM")
	}
	p := &Plan{lex: shell.NewLex(ast.EscapeToken), options: options, used: map[string]bool{}, global: platformArguments()}
	for _, w := range ast.Warnings {
		p.Warnings = append(p.Warnings, w.Short)
	}
	for i := range meta {
		if err := p.declareGlobal(&meta[i]); err != nil {
			return nil, err
		}
	}
	all, err := p.link(stages)
	if err != nil {
		return nil, err
	}
	if err := p.choose(all); err != nil {
		return nil, err
	}
	for _, s := range p.Stages {
		for _, c := range s.commands {
			if err := refuse(c); err != nil {
				return nil, err
			}
		}
	}
	return p, nil
}

// link resolves what every stage begins with and takes files from.
func (p *Plan) link(stages []instructions.Stage) ([]*Stage, error) {
	var all []*Stage
	find := func(word string) *Stage {
		for _, s := range slices.Backward(all) {
			if s.Name != "" && s.Name == strings.ToLower(word) {
				return s
			}
		}
		return nil
	}
	for i, parsed := range stages {
		line := lineOf(parsed.Location)
		s := &Stage{Index: i, Name: parsed.Name, Line: line, commands: parsed.Commands, sources: map[string]Source{}}
		base, err := p.expandGlobal(parsed.BaseName, line)
		if err != nil {
			return nil, err
		}
		platform, err := p.expandGlobal(parsed.Platform, line)
		if err != nil {
			return nil, err
		}
		if base == "" {
			return nil, invalid(line, "the base of FROM %s is empty; give the variable a value with --build-arg or a default", parsed.BaseName)
		}
		s.Text = "FROM " + base
		if s.Name != "" {
			s.Text += " AS " + s.Name
		}
		if s.Base = find(base); s.Base == nil {
			s.BaseImage = base
		}
		if err := checkPlatform(platform, line); err != nil {
			return nil, err
		}
		for _, c := range parsed.Commands {
			for _, word := range fromWords(c) {
				if strings.Contains(word, "$") {
					return nil, invalid(lineOf(c.Location()), "--from=%s cannot contain a variable; give the image a stage of its own with FROM … AS", word)
				}
				source := Source{Stage: find(word)}
				if n, err := strconv.Atoi(word); err == nil && source.Stage == nil {
					if n < 0 || n >= i {
						return nil, invalid(lineOf(c.Location()), "--from=%s is no stage before this one; stages count from 0 and this is %d", word, i)
					}
					source.Stage = all[n]
				}
				if s.Name != "" && strings.EqualFold(word, s.Name) && source.Stage == nil {
					return nil, invalid(lineOf(c.Location()), "--from=%s is the stage itself; copy from one before it", word)
				}
				if source.Stage == nil {
					source.Image = word
				}
				s.sources[word] = source
			}
		}
		all = append(all, s)
	}
	return all, nil
}

// fromWords gives the words in --from and from= of an instruction.
func fromWords(c instructions.Command) []string {
	var words []string
	switch c := c.(type) {
	case *instructions.CopyCommand:
		words = append(words, c.From)
	case *instructions.RunCommand:
		for _, m := range instructions.GetMounts(c) {
			words = append(words, m.From)
		}
	}
	return slices.DeleteFunc(words, func(w string) bool { return w == "" })
}

// choose keeps the stages that the target needs.
func (p *Plan) choose(all []*Stage) error {
	p.Target = all[len(all)-1]
	if want := p.options.Target; want != "" {
		at := slices.IndexFunc(all, func(s *Stage) bool { return s.Name == strings.ToLower(want) })
		if n, err := strconv.Atoi(want); at < 0 && err == nil && n >= 0 && n < len(all) {
			at = n
		}
		if at < 0 {
			var names []string
			for _, s := range all {
				names = append(names, s.Title())
			}
			return resource.Invalidf("InvalidDockerfile", "The target %q is no stage of the Dockerfile; it has %s.", want, strings.Join(names, ", ")).At("target")
		}
		p.Target = all[at]
	}
	needed := map[*Stage]bool{}
	var need func(*Stage)
	need = func(s *Stage) {
		if s == nil || needed[s] {
			return
		}
		needed[s] = true
		need(s.Base)
		for _, source := range s.sources {
			need(source.Stage)
		}
	}
	need(p.Target)
	for _, s := range all {
		if needed[s] {
			p.Stages = append(p.Stages, s)
		}
	}
	return nil
}

// Images gives every image that the plan needs, in the Dockerfile's order, each once; Scratch is none.
func (p *Plan) Images() []string {
	var images []string
	add := func(image string) {
		if image != "" && image != Scratch && !slices.Contains(images, image) {
			images = append(images, image)
		}
	}
	for _, s := range p.Stages {
		add(s.BaseImage)
		for _, c := range s.commands {
			for _, word := range fromWords(c) {
				add(s.sources[word].Image)
			}
		}
	}
	return images
}

// platformArguments are those that FROM and ARG know without a declaration.
func platformArguments() map[string]string {
	machine := "linux/" + runtime.GOARCH
	return map[string]string{
		"TARGETPLATFORM": machine, "TARGETOS": "linux", "TARGETARCH": runtime.GOARCH, "TARGETVARIANT": "",
		"BUILDPLATFORM": machine, "BUILDOS": "linux", "BUILDARCH": runtime.GOARCH, "BUILDVARIANT": "",
	}
}

func (p *Plan) declareGlobal(arg *instructions.ArgCommand) error {
	line := lineOf(arg.Location())
	for _, a := range arg.Args {
		p.used[a.Key] = true
		if value, given := p.options.Arguments[a.Key]; given {
			p.global[a.Key] = value
			continue
		}
		if a.Value == nil {
			continue
		}
		value, err := p.expandGlobal(*a.Value, line)
		if err != nil {
			return err
		}
		p.global[a.Key] = value
	}
	return nil
}

func (p *Plan) expandGlobal(word string, line int) (string, error) {
	value, _, err := p.lex.ProcessWord(word, variables(p.global))
	if err != nil {
		return "", invalid(line, "%v", err)
	}
	return value, nil
}

// Unused gives the build arguments that no ARG declared; it is known once every stage was evaluated.
func (p *Plan) Unused() []string {
	var names []string
	for name := range p.options.Arguments {
		if !p.used[name] && !predefined[name] && name != "SOURCE_DATE_EPOCH" {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// variables are an expansion's environment.
type variables map[string]string

func (v variables) Get(name string) (string, bool) { value, ok := v[name]; return value, ok }
func (v variables) Keys() []string                 { return slices.Sorted(maps.Keys(v)) }

func lineOf(location []parser.Range) int {
	if len(location) == 0 {
		return 0
	}
	return location[0].Start.Line
}

func place(line int) string {
	if line == 0 {
		return "Dockerfile"
	}
	return fmt.Sprintf("Dockerfile line %d", line)
}

// invalid is an error at a line.
func invalid(line int, format string, args ...any) *resource.Error {
	return resource.Invalidf("InvalidDockerfile", "%s: %s.", place(line), fmt.Sprintf(format, args...)).At("dockerfile")
}

// unsupported is a refusal of something that is valid elsewhere.
func unsupported(line int, what, instead string) *resource.Error {
	return resource.Errorf(resource.Unsupported, "UnsupportedDockerfile", "%s: %s is not supported by the built-in builder; %s.", place(line), what, instead).At("dockerfile")
}

// fault turns an error of the parser into one with its line.
func fault(err error) *resource.Error {
	line := 0
	var located *parser.LocationError
	if errors.As(err, &located) && len(located.Locations) > 0 {
		line = lineOf(located.Locations[0])
	}
	text := err.Error()
	if _, rest, ok := strings.Cut(text, "parse error on line "); ok {
		if number, rest, ok := strings.Cut(rest, ": "); ok {
			if n, err := strconv.Atoi(number); err == nil {
				line, text = n, rest
			}
		}
	}
	return invalid(line, "%s", strings.TrimSuffix(text, "."))
}
