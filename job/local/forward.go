package local

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"time"

	"github.com/alvara-ml/alvara/job/socket"
)

// mostConnections is how many connections a run has at once to one address; more wait.
const mostConnections = 256

// dialTimeout is how long an address outside has to answer.
const dialTimeout = 10 * time.Second

// outside connects to an address of the machine.
func outside(address string) func() (net.Conn, error) {
	return func() (net.Conn, error) {
		ctx, cancel := context.WithTimeout(context.Background(), dialTimeout)
		defer cancel()
		if path, ok := strings.CutPrefix(address, unixPrefix); ok {
			return socket.Dial(ctx, path)
		}
		var dialer net.Dialer
		return dialer.DialContext(ctx, "tcp", address)
	}
}

// unixPrefix is how the address of a Unix socket begins.
const unixPrefix = "unix:"

// forward gives every connection that arrives at a listener to who is dialed, until the listener is closed. A connection that
// cannot be made on is closed, as by a server that is not ready.
func forward(listener net.Listener, dial func() (net.Conn, error)) {
	places := make(chan struct{}, mostConnections)
	for {
		places <- struct{}{}
		arrived, err := listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil { // out of file descriptors, for the moment
			<-places
			time.Sleep(50 * time.Millisecond)
			continue
		}
		go func() {
			defer func() { <-places }()
			join(arrived, dial)
		}()
	}
}

// join copies both ways until both sides have said all they have to say.
func join(arrived net.Conn, dial func() (net.Conn, error)) {
	defer func() { _ = arrived.Close() }()
	other, err := dial()
	if err != nil {
		return
	}
	defer func() { _ = other.Close() }()
	done := make(chan struct{})
	go func() {
		defer close(done)
		pass(other, arrived)
	}()
	pass(arrived, other)
	<-done
}

// pass copies to the end and says so. After a failure nothing more comes either way.
func pass(to, from net.Conn) {
	if _, err := io.Copy(to, from); err != nil {
		_ = to.Close()
		_ = from.Close()
		return
	}
	if half, ok := to.(interface{ CloseWrite() error }); ok {
		_ = half.CloseWrite() // the other side may be gone
	}
}
