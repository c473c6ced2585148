package cli

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/alvara-ml/alvara/cli/document"
	"github.com/alvara-ml/alvara/cli/profile"
)

// ServeOptions is how a server is to run. Log takes its log lines.
type ServeOptions struct {
	DataDir           string
	Listen            string // host:port of the resource manager; port 0 takes a free one
	Domain            string // "" gives the planes IP-form addresses
	PasswordGrant     bool
	Jobs              int           // materialization jobs at once; 0 takes the server's default
	JobTimeLimit      time.Duration // of the computation of one job; 0 takes the server's default
	Nodes             int           // of computes, in use at once; 0 takes the server's default
	BuildNetwork      bool          // commands of image builds reach the network
	BuildMemory       int64         // MiB that a command of an image build may use; 0 takes the server's default
	TrustedRegistries []string      // to which builds may send tokens of their identities
	BuildKit          string        // address of a BuildKit daemon that carries image builds out; "" builds here
	BuildKitTLS       string        // folder with ca.pem, cert.pem and key.pem for it
	JobBackend        string        // "sandbox" or "process"; "" takes the server's default
	LogLevel          string        // debug, info, warn or error
	Log               io.Writer
}

// Server is a running server.
type Server interface {
	URL() string
	Close(ctx context.Context) error // drains; returns when everything acknowledged is on disk
}

type serveCommand struct {
	Data          string        `required:"" type:"path" placeholder:"DIR" help:"Data folder; made when it does not exist."`
	Listen        string        `default:"127.0.0.1:0" help:"Address of the resource manager and token service; port 0 takes a free one. (${default})"`
	Domain        string        `help:"DNS domain under which the planes have host names; without it addresses have the IP form."`
	PasswordGrant bool          `help:"Allow users to sign in with name and password."`
	Jobs          int           `placeholder:"N" help:"Materialization jobs, and image builds, at once; without it one for each processor, and at least two."`
	Nodes         int           `placeholder:"N" help:"Nodes of computes that jobs use at once, over all computes; without it four for each processor, and at least eight."`
	BuildMemory   int64         `name:"build-memory" placeholder:"MIB" help:"Memory that each command of an image build may use; without it 2048."`
	BuildNetwork  bool          `name:"build-network" help:"Let the commands of image builds reach the network."`
	TrustRegistry []string      `name:"trust-registry" placeholder:"HOST" help:"Registry elsewhere to which builds may send the tokens of their identities; may be repeated."`
	BuildKit      string        `name:"buildkit" placeholder:"ADDRESS" help:"BuildKit daemon that carries image builds out, with the whole Dockerfile language: unix:///PATH or tcp://HOST:PORT."`
	BuildKitTLS   string        `name:"buildkit-tls" type:"path" placeholder:"DIR" help:"Folder with ca.pem, cert.pem and key.pem for a BuildKit daemon elsewhere."`
	JobTimeLimit  time.Duration `name:"job-time-limit" default:"30m" help:"How long the computation of one job may take. (${default})"`
	JobBackend    string        `name:"job-backend" enum:",sandbox,process" default:"" placeholder:"KIND" help:"What jobs and deployments run in: sandbox, or process for plain processes of the server's user, without walls; without it sandboxes where the machine can have them."`
	LogLevel      string        `enum:"debug,info,warn,error" default:"info" help:"${enum}."`
	DrainTimeout  time.Duration `default:"30s" help:"How long running requests may take to end after SIGTERM; jobs stop at once and go on at the next start. (${default})"`
}

func (s *serveCommand) Run(c *Call) error {
	if c.Program.Serve == nil {
		return fmt.Errorf("this build has no server in it")
	}
	server, err := c.Program.Serve(c.ctx, ServeOptions{
		DataDir: s.Data, Listen: s.Listen, Domain: s.Domain, PasswordGrant: s.PasswordGrant, Jobs: s.Jobs, Nodes: s.Nodes, JobTimeLimit: s.JobTimeLimit, BuildNetwork: s.BuildNetwork, BuildMemory: s.BuildMemory, TrustedRegistries: s.TrustRegistry,
		BuildKit: s.BuildKit, BuildKitTLS: s.BuildKitTLS, JobBackend: s.JobBackend, LogLevel: s.LogLevel, Log: c.Program.Stderr,
	})
	if err != nil {
		return err
	}
	if _, err := fmt.Fprintln(c.Program.Stdout, server.URL()); err != nil {
		return err
	}
	<-c.ctx.Done()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(c.ctx), s.DrainTimeout)
	defer cancel()
	return server.Close(ctx)
}

// QuickstartOptions is what the quickstart command was asked for.
type QuickstartOptions struct {
	Act            string
	Dir            string
	Listen         string
	Exit           bool
	Stdout, Stderr io.Writer
	Interactive    bool // progress bars may be drawn on Stderr
}

type quickstartCommand struct {
	Act    string `default:"all" enum:"all,features,registry,workspace" help:"What to show: ${enum}."`
	Dir    string `default:"./alvara-data" type:"path" help:"Data folder. (${default})"`
	Listen string `default:"127.0.0.1:0" help:"Address of the server. (${default})"`
	Exit   bool   `help:"Stop the server at the end instead of staying up."`
}

func (q *quickstartCommand) Run(c *Call) error {
	if c.Program.Quickstart == nil {
		return fmt.Errorf("this build has no quickstart in it")
	}
	return c.Program.Quickstart(c.ctx, QuickstartOptions{
		Act: q.Act, Dir: q.Dir, Listen: q.Listen, Exit: q.Exit,
		Stdout: c.Program.Stdout, Stderr: c.Program.Stderr, Interactive: c.interactive(),
	})
}

// BenchOptions is what the bench command was asked for. Result takes the measurements; it prints them in the format
// that the user wants.
type BenchOptions struct {
	IDs    []string // "P1" …; empty means all
	Quick  bool
	Log    io.Writer
	Result func(measurements []byte) error // a JSON array
}

type benchCommand struct {
	IDs   []string `arg:"" optional:"" name:"ID" help:"Measurements such as P1 P4; all without one."`
	Quick bool     `help:"A tenth of the size, for a first look."`
}

func (b *benchCommand) Run(c *Call) error {
	if c.Program.Bench == nil {
		return fmt.Errorf("this build has no benchmarks in it")
	}
	return c.Program.Bench(c.ctx, BenchOptions{IDs: b.IDs, Quick: b.Quick, Log: c.Program.Stderr, Result: func(measurements []byte) error {
		value, err := document.Decode(measurements)
		if err != nil {
			return err
		}
		return c.PrintColumns(value, "[].{Id:id, Name:name, Ratio:ratio, Target:target, Met:met, Size:size}")
	}})
}

type envCommand struct {
	Data  string `required:"" type:"path" placeholder:"DIR" help:"The server's data folder."`
	Shell string `enum:"sh,fish,powershell" default:"sh" help:"Shell to write for: ${enum}."`
}

func (e *envCommand) Run(c *Call) error {
	endpoints, err := profile.ReadEndpoints(e.Data)
	if err != nil {
		return err
	}
	for _, v := range endpoints.Variables() {
		var line string
		switch e.Shell {
		case "fish":
			line = "set -gx " + v.Name + " " + quoteFish(v.Value)
		case "powershell":
			line = "$env:" + v.Name + " = " + quotePowerShell(v.Value)
		default:
			line = "export " + v.Name + "=" + quoteSh(v.Value)
		}
		if _, err := fmt.Fprintln(c.Program.Stdout, line); err != nil {
			return err
		}
	}
	return nil
}

type versionCommand struct{}

func (versionCommand) Run(c *Call) error {
	version := c.Program.Version
	if version == "" {
		version = "development"
	}
	return c.Print(document.New("alvara", version))
}
