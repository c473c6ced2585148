// Package app is the composition root: it makes a running server of a configuration. It is the only package that knows
// all others; what it wires it wires here, in plain sight, and it holds no rule of its own.
package app

import (
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"github.com/alvara-ml/alvara/image"
	"github.com/alvara-ml/alvara/image/buildkit"
)

// Config says what server to run. Only DataDir is required.
type Config struct {
	DataDir string // everything that must be kept; made with mode 0700 when it is absent
	Listen  string // host:port of the resource manager; the port is chosen once and kept when it is empty or 0
	Domain  string // planes have host names below it; "" means addresses with the IP form
	// PasswordGrant lets users sign in by password. Off by default: nothing has a password unless somebody wants it.
	PasswordGrant bool
	// Jobs is how many materialization jobs, and how many image builds, run at once; 0 is one for each processor and at least two.
	Jobs int
	// JobTime is how long the computation of one job may take; 0 is half an hour. A feature set's SQL is a stranger's code:
	// it must not hold a place for ever.
	JobTime time.Duration
	// Nodes is how many nodes of computes may be in use at once, over all computes; 0 is four for each processor and at least eight.
	Nodes int
	// BuildNetwork lets the commands of image builds reach the network. Off by default.
	BuildNetwork bool
	// BuildMemory is how many bytes each command of an image build may use; 0 is 2 GiB.
	BuildMemory int64
	// TrustedRegistries are hosts of registries elsewhere to which builds may send the tokens of their identities. Those of
	// this server are trusted without being named.
	TrustedRegistries []string
	// BuildKit is the address of a BuildKit daemon (unix:///path or tcp://host:port) that carries image builds out instead of the
	// built-in builder. BuildKitTLS is a folder with ca.pem, cert.pem and key.pem for it; a daemon elsewhere needs it.
	BuildKit, BuildKitTLS string
	// JobBackend is what jobs and deployments run in: "sandbox", "process" (plain processes of the server's user, without walls), or "" for
	// sandboxes where the machine can have them and processes otherwise.
	JobBackend string
	// Program is the command, with its first arguments, that runs this program again for work in processes of its own;
	// the default is the running executable.
	Program []string
	Clock   func() time.Time
	Log     *slog.Logger
}

func (c *Config) complete() error {
	dir, err := filepath.Abs(c.DataDir)
	if err != nil {
		return err
	}
	c.DataDir = dir
	if c.BuildKitTLS != "" {
		if c.BuildKitTLS, err = filepath.Abs(c.BuildKitTLS); err != nil {
			return err
		}
	}
	if c.BuildKit != "" || c.BuildKitTLS != "" {
		if err := buildkit.Check(c.daemon()); err != nil {
			return err
		}
	}
	if c.Clock == nil {
		c.Clock = time.Now
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Jobs == 0 {
		c.Jobs = max(2, runtime.NumCPU())
	}
	if c.JobTime == 0 {
		c.JobTime = 30 * time.Minute
	}
	if len(c.Program) == 0 {
		self, err := os.Executable()
		if err != nil {
			return err
		}
		c.Program = []string{self}
	}
	return nil
}

// daemon is the BuildKit daemon that builds are carried out by; without an address there is none.
func (c *Config) daemon() image.Daemon { return image.Daemon{Address: c.BuildKit, TLS: c.BuildKitTLS} }

// path is a place in the data folder.
func (c *Config) path(parts ...string) string {
	return filepath.Join(append([]string{c.DataDir}, parts...)...)
}
