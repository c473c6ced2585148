//go:build !linux

package sandbox

import (
	"context"
	"net"
	"runtime"

	"github.com/alvara-ml/alvara/resource"
)

// IsInit tells that this process is to become the first one inside a sandbox, which is never so here.
func IsInit([]string) bool { return false }

// Main is called by nobody where IsInit is false.
func Main() {}

// Run gives Unavailable: only Linux has what a sandbox is made of.
func Run(context.Context, Spec) (Exit, error) {
	return Exit{}, resource.Errorf(resource.Unavailable, "SandboxUnavailable", "%s", Check().Lacks[0])
}

// Check tells that there is no sandbox here.
func Check() Isolation {
	return Isolation{Lacks: []string{runtime.GOOS + " has no sandbox: commands of image builds need Linux. Run the server on Linux, or in a virtual machine with it."}}
}

// Sweep finds nothing.
func Sweep(string) ([]string, error) { return nil, nil }

// Look is Check here.
func Look() Isolation { return Check() }

// Net is a network that commands share; there is none here.
type Net struct {
	Listeners []net.Listener
}

// NewNet gives Unavailable, as Run does.
func NewNet(context.Context, []string, bool) (*Net, error) {
	return nil, resource.Errorf(resource.Unavailable, "SandboxUnavailable", "%s", Check().Lacks[0])
}

// Dial reaches nobody.
func (n *Net) Dial(int) (net.Conn, error) { return nil, net.ErrClosed }

// Close has nothing to end.
func (n *Net) Close() error { return nil }
