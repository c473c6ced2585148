package sandbox

import (
	"context"
	"io"
	"strings"
	"testing"

	"github.com/alvara-ml/alvara/resource"
)

// Two commands share a network that nobody else is in, and reach the listeners of the caller there and nothing else.
func TestNet(t *testing.T) {
	spec := box(t, "dial", "tcp", "127.0.0.1:443")
	shared, err := NewNet(context.Background(), []string{"127.0.0.1:443", "127.0.0.1:8000"})
	must(t, err)
	defer func() { must(t, shared.Close()) }()
	heard := make(chan string, 4)
	for _, listener := range shared.Listeners {
		go func() {
			for {
				conn, err := listener.Accept()
				if err != nil {
					return
				}
				heard <- listener.Addr().String()
				_, _ = io.WriteString(conn, "hello")
				_ = conn.Close()
			}
		}()
	}
	spec.Net = shared
	if got := succeed(t, spec); !strings.Contains(got, "connected") {
		t.Errorf("%q", got)
	}
	if at := <-heard; at != "127.0.0.1:443" {
		t.Errorf("at %s", at)
	}
	other := box(t, "dial", "tcp", "127.0.0.1:443") // in a network of its own
	if exit, got := run(t, other); exit.Code == 0 {
		t.Errorf("another network: %q", got)
	}
	elsewhere := box(t, "dial", "tcp", "127.0.0.1:22")
	elsewhere.Net = shared
	if exit, got := run(t, elsewhere); exit.Code == 0 {
		t.Errorf("%q", got)
	}
	away := box(t, "dial", "tcp", "192.0.2.1:80")
	away.Net = shared
	if exit, got := run(t, away); exit.Code == 0 || !strings.Contains(got, "unreachable") {
		t.Errorf("%q", got)
	}
	walls := box(t, "forbid")
	walls.Net = shared
	for line := range strings.Lines(succeed(t, walls)) {
		if strings.HasSuffix(line, "<nil>\n") {
			t.Errorf("allowed in a shared network: %s", line)
		}
	}
}

func TestNetRefused(t *testing.T) {
	box(t)
	for _, address := range [][]string{{"192.0.2.1:80"}, {"127.0.0.1:80", "127.0.0.1:80"}, {"nowhere"}, make([]string, most+1)} {
		if _, err := NewNet(context.Background(), address); !isInvalid(err) {
			t.Errorf("%v: %v", address[0], err)
		}
	}
	shared, err := NewNet(context.Background(), nil)
	must(t, err)
	defer func() { must(t, shared.Close()) }()
	spec := box(t, "true")
	spec.Net, spec.Network = shared, Host
	if _, err := Run(context.Background(), spec); !isInvalid(err) {
		t.Error(err)
	}
}

func isInvalid(err error) bool {
	e, ok := resource.AsError(err)
	return ok && e.Kind == resource.Invalid && e.Target == "Net"
}
