package dockerfile

import (
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
)

// Step is one instruction of a stage with its variables expanded.
type Step struct {
	Line int
	// Text is the instruction as it is written, for the log; "# Executing ONBUILD" instructions are the base's.
	Text string
	// Command is one of the pointer types of package instructions, never an ONBUILD trigger's wrapper.
	Command instructions.Command
	// Env are the build arguments that are in effect, NAME=value, sorted; ENV of the image is not among them.
	// They are part of what RUN does, and so of its cache key.
	Env []string
	// Shown is Env with the values of secret arguments as ***; it is what history and log may have.
	Shown []string
	// Hidden are build arguments that RUN gets and that are no part of its identity: proxies.
	Hidden []string
	// Run is the command line of a RUN with its heredocs put in, without the shell before it.
	Run []string
	// Ports of an EXPOSE, port/protocol.
	Ports []string
}

// predefined build arguments are given to RUN without a declaration and leave no trace in the image.
var predefined = map[string]bool{
	"HTTP_PROXY": true, "http_proxy": true, "HTTPS_PROXY": true, "https_proxy": true, "FTP_PROXY": true, "ftp_proxy": true,
	"NO_PROXY": true, "no_proxy": true, "ALL_PROXY": true, "all_proxy": true,
}

// Evaluate expands a stage. env is the environment of the image that it begins with (NAME=value), triggers are that
// image's ONBUILD instructions, which come first. It returns the environment that the stage ends with. A stage is evaluated
// once, after the one that it begins with.
func (p *Plan) Evaluate(s *Stage, env, triggers []string) (steps []Step, after []string, err error) {
	e := &evaluation{plan: p, env: variables{}, arguments: map[string]string{}}
	for _, pair := range env {
		name, value, _ := strings.Cut(pair, "=")
		e.set(name, value)
	}
	for _, trigger := range triggers {
		command, err := parseTrigger(trigger, s)
		if err != nil {
			return nil, nil, err
		}
		step, err := e.step(command, s.Line)
		if err != nil {
			return nil, nil, err
		}
		steps = append(steps, step)
	}
	for _, command := range s.commands {
		step, err := e.step(command, lineOf(command.Location()))
		if err != nil {
			return nil, nil, err
		}
		steps = append(steps, step)
	}
	for _, name := range e.order {
		after = append(after, name+"="+e.env[name])
	}
	return steps, after, nil
}

// parseTrigger reads an ONBUILD instruction of a base image. It was written by that image's author and gets no more than
// the Dockerfile's own.
func parseTrigger(text string, s *Stage) (instructions.Command, error) {
	ast, err := parser.Parse(strings.NewReader(text))
	if err != nil || len(ast.AST.Children) != 1 {
		return nil, invalid(s.Line, "the base image %s has an ONBUILD instruction that cannot be read: %q", s.BaseImage, text)
	}
	command, err := instructions.ParseCommand(ast.AST.Children[0])
	if err != nil {
		return nil, invalid(s.Line, "the base image %s has an ONBUILD instruction that cannot be read: %v", s.BaseImage, err)
	}
	if words := fromWords(command); len(words) > 0 {
		return nil, unsupported(s.Line, "ONBUILD … --from="+words[0]+" of the base image "+s.BaseImage, "write the instruction into the Dockerfile")
	}
	if err := refuse(command); err != nil {
		return nil, invalid(s.Line, "an ONBUILD instruction of the base image %s: %v", s.BaseImage, err)
	}
	return command, nil
}

type evaluation struct {
	plan      *Plan
	env       variables
	order     []string          // of env
	arguments map[string]string // declared ones with a value
}

func (e *evaluation) set(name, value string) {
	if _, known := e.env[name]; !known {
		e.order = append(e.order, name)
	}
	e.env[name] = value
}

// scope is what an expansion sees: ENV goes before ARG.
func (e *evaluation) scope() variables {
	scope := maps.Clone(variables(e.arguments))
	maps.Copy(scope, e.env)
	return scope
}

func (e *evaluation) step(c instructions.Command, line int) (Step, error) {
	s := Step{Line: line, Command: c, Text: strings.ToUpper(c.Name())}
	if text, ok := c.(interface{ String() string }); ok {
		s.Text = oneLine(text.String())
	}
	scope := e.scope()
	expand := func(word string) (string, error) {
		value, _, err := e.plan.lex.ProcessWord(word, scope)
		return value, err
	}
	if c, ok := c.(instructions.SupportsSingleWordExpansion); ok {
		if err := c.Expand(expand); err != nil {
			return s, invalid(line, "%s: %v", s.Text, err)
		}
	}
	if c, ok := c.(instructions.SupportsSingleWordExpansionRaw); ok {
		e.plan.lex.RawQuotes, e.plan.lex.RawEscapes = true, true
		err := c.ExpandRaw(expand)
		e.plan.lex.RawQuotes, e.plan.lex.RawEscapes = false, false
		if err != nil {
			return s, invalid(line, "%s: %v", s.Text, err)
		}
	}
	switch c := c.(type) {
	case *instructions.ArgCommand:
		e.declare(c)
	case *instructions.EnvCommand:
		for _, pair := range c.Env {
			if strings.ContainsAny(pair.Key+pair.Value, "\x00") {
				return s, invalid(line, "ENV %s contains a zero byte", pair.Key)
			}
			e.set(pair.Key, pair.Value)
		}
	case *instructions.AddCommand:
		for _, source := range c.SourcePaths {
			if err := checkAddSource(source, line); err != nil {
				return s, err
			}
		}
	case *instructions.ExposeCommand:
		ports, err := e.ports(c, scope, line)
		if err != nil {
			return s, err
		}
		s.Ports = ports
	case *instructions.RunCommand:
		for _, m := range instructions.GetMounts(c) {
			if err := checkMount(m, line); err != nil {
				return s, err
			}
		}
		s.Run = withHeredocs(c.ShellDependantCmdLine)
		e.describe(&s)
	case *instructions.StopSignalCommand:
		if c.Signal == "" {
			return s, invalid(line, "STOPSIGNAL names no signal")
		}
		if !isSignal(c.Signal) {
			return s, invalid(line, "STOPSIGNAL %s is no signal; write a name such as SIGTERM, or a number from 1 to 64", c.Signal)
		}
	}
	return s, nil
}

// declare gives an ARG its value: the build's, its default, or that of the same name before the first FROM.
func (e *evaluation) declare(c *instructions.ArgCommand) {
	for _, a := range c.Args {
		e.plan.used[a.Key] = true
		if value, given := e.plan.options.Arguments[a.Key]; given {
			e.arguments[a.Key] = value
		} else if a.Value != nil {
			e.arguments[a.Key] = *a.Value
		} else if value, known := e.plan.global[a.Key]; known {
			e.arguments[a.Key] = value
		}
	}
}

// describe says which build arguments a RUN gets.
func (e *evaluation) describe(s *Step) {
	for _, name := range slices.Sorted(maps.Keys(e.arguments)) {
		if _, covered := e.env[name]; covered {
			continue
		}
		if predefined[name] {
			continue
		}
		s.Env = append(s.Env, name+"="+e.arguments[name])
		shown := e.arguments[name]
		if e.plan.options.Secret[name] {
			shown = "***"
		}
		s.Shown = append(s.Shown, name+"="+shown)
	}
	for _, name := range slices.Sorted(maps.Keys(e.plan.options.Arguments)) {
		if _, covered := e.env[name]; predefined[name] && !covered {
			s.Hidden = append(s.Hidden, name+"="+e.plan.options.Arguments[name])
		}
	}
}

func (e *evaluation) ports(c *instructions.ExposeCommand, scope variables, line int) ([]string, error) {
	var ports []string
	for _, word := range c.Ports {
		words, err := e.plan.lex.ProcessWords(word, scope)
		if err != nil {
			return nil, invalid(line, "EXPOSE %s: %v", word, err)
		}
		for _, w := range words {
			number, protocol, has := strings.Cut(strings.ToLower(w), "/")
			if !has {
				protocol = "tcp"
			}
			first, last, ranged := strings.Cut(number, "-")
			if !ranged {
				last = first
			}
			from, err1 := strconv.ParseUint(first, 10, 16)
			to, err2 := strconv.ParseUint(last, 10, 16)
			if err1 != nil || err2 != nil || from == 0 || to < from || protocol != "tcp" && protocol != "udp" && protocol != "sctp" {
				return nil, invalid(line, "EXPOSE %s is no port; write PORT, FROM-TO, or either with /tcp, /udp or /sctp", w)
			}
			for n := from; n <= to; n++ {
				ports = append(ports, strconv.FormatUint(n, 10)+"/"+protocol)
			}
		}
	}
	return ports, nil
}

// withHeredocs puts the heredocs of a RUN where the shell reads them.
func withHeredocs(c instructions.ShellDependantCmdLine) []string {
	if len(c.Files) == 0 {
		return c.CmdLine
	}
	if parser.MustParseHeredoc(c.CmdLine[0]) != nil {
		data := c.Files[0].Data
		if c.Files[0].Chomp {
			data = parser.ChompHeredocContent(data)
		}
		return []string{data}
	}
	full := c.CmdLine[0]
	for _, file := range c.Files {
		full += "\n" + file.Data + file.Name
	}
	return []string{full}
}

// oneLine is an instruction as the log shows it.
func oneLine(text string) string {
	text, _, more := strings.Cut(text, "\n")
	if more {
		text += " …"
	}
	return text
}

// isSignal tells whether a word is a signal's name, with or without SIG, or its number.
func isSignal(word string) bool {
	if n, err := strconv.Atoi(word); err == nil {
		return n >= 1 && n <= 64
	}
	name := "SIG" + strings.TrimPrefix(strings.ToUpper(word), "SIG")
	return signals[name] || realTime.MatchString(name)
}

// realTime are the names of the signals that Linux numbers from SIGRTMIN up and from SIGRTMAX down.
var realTime = regexp.MustCompile(`^SIGRT(MIN(\+([0-9]|1[0-5]))?|MAX(-([0-9]|1[0-4]))?)$`)

// signals are the names of Linux's signals.
var signals = func() map[string]bool {
	all := map[string]bool{}
	for _, name := range strings.Fields(`ABRT ALRM BUS CHLD CLD CONT FPE HUP ILL INT IO IOT KILL PIPE POLL PROF PWR QUIT SEGV
		STKFLT STOP SYS TERM TRAP TSTP TTIN TTOU URG USR1 USR2 VTALRM WINCH XCPU XFSZ`) {
		all["SIG"+name] = true
	}
	return all
}()
