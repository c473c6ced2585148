package local

import (
	"errors"
	"io"
	"net"
	"time"
)

// mostConnections is how many connections a run has at once to one address; more wait.
const mostConnections = 256

// dialTimeout is how long an address outside has to answer.
const dialTimeout = 10 * time.Second

// forward gives every connection that arrives at the listener inside to an address outside, until the listener is closed. A
// connection that cannot be made outside is closed, as by a server that is not ready.
func forward(listener net.Listener, outside string) {
	places := make(chan struct{}, mostConnections)
	for {
		places <- struct{}{}
		inside, err := listener.Accept()
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
			join(inside, outside)
		}()
	}
}

// join copies both ways until both sides have said all they have to say.
func join(inside net.Conn, outside string) {
	defer func() { _ = inside.Close() }()
	other, err := net.DialTimeout("tcp", outside, dialTimeout)
	if err != nil {
		return
	}
	defer func() { _ = other.Close() }()
	done := make(chan struct{})
	go func() {
		defer close(done)
		pass(other, inside)
	}()
	pass(inside, other)
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
