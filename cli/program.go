package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/alecthomas/kong"

	"github.com/alvara-ml/alvara/cli/output"
	"github.com/alvara-ml/alvara/cli/wire"
	"github.com/alvara-ml/alvara/resource"
)

// Program is the command line with everything that it depends on. Stdin, Stdout, Stderr, Env and Now are required. The
// functions below Version may be nil; the commands that need them then say that this build does not have them.
type Program struct {
	Name           string // as CalledAs gives it; "" is alvara
	Stdin          io.Reader
	Stdout, Stderr io.Writer
	Env            func(name string) string
	Now            func() time.Time
	Version        string

	Serve      func(ctx context.Context, options ServeOptions) (Server, error)
	Quickstart func(ctx context.Context, options QuickstartOptions) error
	Bench      func(ctx context.Context, options BenchOptions) error
	Retrieve   func(ctx context.Context, request Retrieval) (Retrieved, error)

	renamer *renamer
}

// Exit codes of the program.
const (
	ExitOK       = 0
	ExitError    = 1
	ExitUsage    = 2
	ExitNotFound = 3
	ExitFindings = 4 // the doctor found what should not be
)

// UsageError is a command line that cannot be run as it is written.
type UsageError struct{ Message string }

func (e *UsageError) Error() string { return e.Message }

func usagef(format string, args ...any) error {
	return &UsageError{Message: fmt.Sprintf(format, args...)}
}

// notFound is the error of a lookup that came back empty.
type notFound struct{ message string }

func (e *notFound) Error() string { return e.message }

// exited carries the exit code out of the parser, which ends after printing help.
type exited struct{ code int }

// Run parses and runs one command line (without the program's name) and gives the exit code. When ctx is cancelled the
// command stops where it is safe to.
func (p *Program) Run(ctx context.Context, args []string) (code int) {
	defer func() {
		if recovered := recover(); recovered != nil {
			done, ok := recovered.(exited)
			if !ok {
				panic(recovered)
			}
			code = done.code
		}
	}()
	commands := &Commands{}
	parser, err := p.parser(commands)
	if err != nil {
		fmt.Fprintf(p.Stderr, "ERROR: %v\n", err)
		return ExitError
	}
	p.renamer = newRenamer(p.name(), parser.Model.Node)
	if len(args) > 0 && args[0] == completeCommand {
		return complete(p.Stdout, parser.Model, args[1:])
	}
	if len(args) == 0 {
		args = []string{"--help"}
	}
	if len(args) == 1 && args[0] == "--version" {
		args = []string{"version"}
	}
	if groupOnly(parser.Model.Node, args) {
		args = append(args, "--help")
	}
	parsed, err := parser.Parse(normalize(parser.Model.Node, args))
	if err != nil {
		p.reportUsage(err)
		return ExitUsage
	}
	call := &Call{Program: p, Globals: commands.Globals, ctx: ctx, outputChosen: chosen(parsed, "output")}
	if err := parsed.Run(call); err != nil {
		return p.report(ctx, err, commands.Globals)
	}
	return ExitOK
}

// chosen tells whether a flag was given.
func chosen(parsed *kong.Context, flag string) bool {
	return slices.ContainsFunc(parsed.Path, func(step *kong.Path) bool { return step.Flag != nil && step.Flag.Name == flag })
}

func (p *Program) parser(commands *Commands) (*kong.Kong, error) {
	return kong.New(commands,
		kong.Name(p.name()),
		kong.Description("Alvara: machine-learning platform and feature store in which every access is decided by role."),
		kong.Writers(p.Stdout, p.Stderr),
		kong.Exit(func(code int) { panic(exited{code}) }),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, NoExpandSubcommands: true, WrapUpperBound: 110}),
		kong.Help(p.helpWithExamples),
	)
}

func (p *Program) reportUsage(err error) {
	fmt.Fprintf(p.Stderr, "ERROR: %v\n", err)
	path := p.name()
	var parse *kong.ParseError
	if errors.As(err, &parse) && parse.Context != nil && parse.Context.Selected() != nil {
		path = parse.Context.Selected().FullPath()
	} else if parse != nil && parse.Context != nil {
		for _, step := range parse.Context.Path {
			if step.Command != nil {
				path = step.Command.FullPath()
			}
		}
	}
	fmt.Fprintf(p.Stderr, "Run \"%s --help\" for its flags and an example.\n", path)
}

func (p *Program) report(ctx context.Context, err error, globals Globals) int {
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		fmt.Fprintln(p.Stderr, "ERROR: stopped")
		return 130
	}
	fmt.Fprintf(p.Stderr, "ERROR: %s\n", p.renamer.shown(describe(err)))
	var usage *UsageError
	var query *output.QueryError
	var missing *notFound
	var refused *wire.Error
	var found *findings
	switch {
	case errors.As(err, &found):
		return ExitFindings
	case errors.As(err, &usage), errors.As(err, &query):
		return ExitUsage
	case errors.As(err, &missing), storageMissing(err), resource.KindOf(err) == resource.NotFound:
		return ExitNotFound
	case errors.As(err, &refused):
		if refused.Status == 401 && refused.Code != registryUnauthorized && !globals.OnlyShowErrors {
			fmt.Fprintln(p.Stderr, p.renamer.shown("The sign-in is not accepted. Run `alvara login` again, or check the AZURE_* variables."))
		}
		if refused.NotFound() {
			return ExitNotFound
		}
	}
	return ExitError
}

// describe gives the text of an error. Errors of Azure's own storage client, and faults that were found before anything
// was sent, are brought into the form of the server's refusals.
func describe(err error) string {
	if refused := storageError(err); refused != nil {
		return refused.Error()
	}
	if found, ok := resource.AsError(err); ok {
		return asWire(found).Error()
	}
	return err.Error()
}

func asWire(e *resource.Error) *wire.Error {
	out := &wire.Error{Code: e.Code, Message: e.Message, Target: e.Target}
	for _, detail := range e.Details {
		out.Details = append(out.Details, asWire(detail))
	}
	return out
}

// Globals are the flags that every command takes.
type Globals struct {
	Output         string `short:"o" enum:"json,jsonc,none,table,tsv,yaml,yamlc" default:"json" help:"Output format: ${enum}." group:"Global flags:"`
	Query          string `help:"JMESPath query over the result, such as '[].name'." placeholder:"JMESPATH" group:"Global flags:"`
	Subscription   string `help:"Name or id of the subscription; without it the one of the environment or the profile's default." group:"Global flags:"`
	Debug          bool   `help:"Show every request on stderr; credentials are left out." group:"Global flags:"`
	OnlyShowErrors bool   `name:"only-show-errors" help:"Show no warnings and no progress." group:"Global flags:"`
}

// Commands is the whole command line.
type Commands struct {
	Globals

	Serve      serveCommand      `cmd:"" help:"Run a server on a data folder." example:"alvara serve --data ./alvara-data --listen 127.0.0.1:8443"`
	Quickstart quickstartCommand `cmd:"" help:"Run the main job end to end on a new server and stay up." example:"alvara quickstart --act features --dir ./alvara-data"`
	Env        envCommand        `cmd:"" help:"Print the environment that leads clients to a server." example:"eval \"$(alvara env --data ./alvara-data)\""`
	Bench      benchCommand      `cmd:"" help:"Measure this build against the limits of the machine." example:"alvara bench P1 P4 --quick --output json"`

	Login   loginCommand  `cmd:"" help:"Sign in." example:"alvara login --local --data ./alvara-data"`
	Logout  logoutCommand `cmd:"" help:"Forget a sign-in." example:"alvara logout"`
	Account accountGroup  `cmd:"" help:"Subscriptions and tokens of whom is signed in."`

	Group    groupGroup    `cmd:"" help:"Resource groups."`
	Identity identityGroup `cmd:"" help:"User-assigned managed identities."`
	Ad       adGroup       `cmd:"" help:"The directory: users, groups, applications and service principals."`
	Role     roleGroup     `cmd:"" help:"Role definitions and role assignments."`
	Storage  storageGroup  `cmd:"" help:"Storage accounts, containers and blobs."`
	Acr      acrGroup      `cmd:"" help:"Container registries: images, builds, sign-in of other tools."`
	Keyvault keyvaultGroup `cmd:"" help:"Key vaults, as resources; what is in them comes later."`
	Monitor  monitorGroup  `cmd:"" help:"Application insights, as resources."`
	Aks      aksGroup      `cmd:"" help:"Kubernetes clusters that models are served on."`
	ML       mlGroup       `cmd:"" name:"ml" help:"Machine learning: workspaces, computes, environments, jobs, models, endpoints, feature stores."`
	Doctor   doctorCommand `cmd:"" help:"Look for what keeps a workspace or a feature store from working, with the commands that cure it." example:"alvara doctor -w ws -g rg1 ;; alvara doctor -w ws -g rg1 --strict --output table ;; alvara doctor -w ws -g rg1 --fix --yes"`
	Features featuresGroup `cmd:"" help:"Read feature values: training sets and online rows."`
	Resource resourceGroup `cmd:"" help:"Any resource."`
	Rest     restCommand   `cmd:"" help:"Send a request to a plane with the token of whom is signed in." example:"alvara rest --method get --url '/subscriptions?api-version=2022-12-01'"`

	Completion completionCommand `cmd:"" help:"Print the completion script for a shell." example:"source <(alvara completion bash)"`
	Version    versionCommand    `cmd:"" help:"Print the version." example:"alvara version --query alvara -o tsv"`
}

// plainMessage is the message of an error without its code, for a usage error that names the flag.
func plainMessage(err error) string {
	if found, ok := resource.AsError(err); ok {
		return found.Message
	}
	return err.Error()
}
