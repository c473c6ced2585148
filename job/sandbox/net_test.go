package sandbox

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"

	"github.com/alvara-ml/alvara/resource"
)

// Two commands share a network that nobody else is in, and reach the listeners of the caller there and nothing else.
func TestNet(t *testing.T) {
	spec := box(t, "dial", "tcp", "127.0.0.1:443")
	shared, err := NewNet(context.Background(), []string{"127.0.0.1:443", "127.0.0.1:8000"}, false)
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

// The program outside connects to what listens in a network that was made for it, and to nothing else.
func TestDial(t *testing.T) {
	spec := box(t, "answer", "8000")
	shared, err := NewNet(context.Background(), nil, true)
	must(t, err)
	spec.Net = shared
	output, said := io.Pipe()
	spec.Stdout, spec.Stderr = said, said
	ended := make(chan error, 1)
	go func() {
		exit, err := Run(context.Background(), spec)
		if err == nil && exit.Code != 0 {
			err = errors.New("it failed")
		}
		_ = said.Close()
		ended <- err
	}()
	first := make([]byte, 9)
	if _, err := io.ReadFull(output, first); err != nil || string(first) != "listening" {
		t.Fatalf("%q %v", first, err)
	}
	go func() { _, _ = io.Copy(io.Discard, output) }()
	if _, err := shared.Dial(8001); err == nil {
		t.Error("a port that nobody listens at was dialed")
	}
	conn, err := shared.Dial(8000)
	must(t, err)
	_, err = io.WriteString(conn, "hello")
	must(t, err)
	must(t, conn.(*net.TCPConn).CloseWrite())
	if heard, err := io.ReadAll(conn); err != nil || string(heard) != "hello" {
		t.Errorf("%q %v", heard, err)
	}
	must(t, conn.Close())
	must(t, <-ended)
	must(t, shared.Close())
	if _, err := shared.Dial(8000); !errors.Is(err, net.ErrClosed) {
		t.Errorf("after the end: %v", err)
	}
	closed, err := NewNet(context.Background(), nil, false)
	must(t, err)
	if _, err := closed.Dial(8000); err == nil {
		t.Error("a network that was not made to be dialed was")
	}
	must(t, closed.Close())
	if _, err := NewNet(context.Background(), []string{"nowhere"}, true); !isInvalid(err) {
		t.Error(err)
	}
}

func TestNetRefused(t *testing.T) {
	box(t)
	for _, address := range [][]string{{"0.0.0.0:80"}, {"224.0.0.1:80"}, {"[::]:80"}, {"127.0.0.1:80", "127.0.0.1:80"}, {"nowhere"}, make([]string, most+1)} {
		if _, err := NewNet(context.Background(), address, false); !isInvalid(err) {
			t.Errorf("%v: %v", address[0], err)
		}
	}
	shared, err := NewNet(context.Background(), nil, false)
	must(t, err)
	defer func() { must(t, shared.Close()) }()
	spec := box(t, "true")
	spec.Net, spec.Network = shared, Host
	if _, err := Run(context.Background(), spec); !isInvalid(err) {
		t.Error(err)
	}
}

// Addresses of the machine can be those of the network too, and nothing else is reached with them.
func TestNetWithAddresses(t *testing.T) {
	addresses := []string{"192.0.2.1:80", "192.0.2.1:81", "198.51.100.7:80", "127.0.0.1:80", "[::1]:80", "[2001:db8::5]:80"}
	spec := box(t, "true")
	shared, err := NewNet(context.Background(), addresses, false)
	must(t, err)
	defer func() { must(t, shared.Close()) }()
	for i, listener := range shared.Listeners {
		go func() {
			for {
				conn, err := listener.Accept()
				if err != nil {
					return
				}
				_ = conn.Close()
			}
		}()
		spec.Net, spec.ID = shared, fmt.Sprintf("%s-%d", spec.ID, i)
		spec.Args = []string{"probe", "dial", "tcp", addresses[i]}
		if got := succeed(t, spec); !strings.Contains(got, "connected") {
			t.Errorf("%s: %q", addresses[i], got)
		}
	}
	for _, address := range []string{"192.0.2.2:80", "192.0.2.1:82", "[2001:db8::6]:80"} {
		spec.ID += "x"
		spec.Args = []string{"probe", "dial", "tcp", address}
		if exit, got := run(t, spec); exit.Code == 0 {
			t.Errorf("%s: %q", address, got)
		}
	}
}

func isInvalid(err error) bool {
	e, ok := resource.AsError(err)
	return ok && e.Kind == resource.Invalid && e.Target == "Net"
}
