//go:build linux

package sandbox

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// A door is how the program outside connects to what listens inside a Net. Sockets belong to the network that they are made in, so
// a process that stays there makes them, one for each request, and the program connects them. The process ends with the
// program, or when the door is closed.
type door struct {
	mu     sync.Mutex
	socket *os.File
	ended  chan struct{} // closed when the process is gone
}

// doorArgument is the first one of a holder that stays.
const doorArgument = "door"

// dialTimeout is how long who listens inside has to answer.
const dialTimeout = 10 * time.Second

// openDoor starts the process. Both ends of the socket are closed when that fails.
func (n *Net) openDoor(ctx context.Context, ours, theirs *os.File, addresses []string) (*door, error) {
	var said bytes.Buffer
	command := n.holder(context.WithoutCancel(ctx), theirs, &said, append([]string{holderCommand, doorArgument}, addresses...)...)
	err := command.Start()
	closeFiles(theirs)
	if err != nil {
		closeFiles(ours)
		return nil, noNet(err, &said)
	}
	d := &door{socket: ours, ended: make(chan struct{})}
	go func() {
		defer close(d.ended)
		_ = command.Wait() // it ends when it is told to, or with the run; who asks it afterwards hears that it is gone
	}()
	return d, nil
}

// close ends the process.
func (d *door) close() error {
	if d == nil {
		return nil
	}
	d.mu.Lock()
	closeFiles(d.socket)
	d.socket = nil
	d.mu.Unlock()
	<-d.ended
	return nil
}

// knock gets a socket of the network, which is not connected.
func (d *door) knock() (*os.File, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.socket == nil {
		return nil, net.ErrClosed
	}
	if err := unix.Sendmsg(int(d.socket.Fd()), []byte{1}, nil, nil, 0); err != nil {
		return nil, fmt.Errorf("ask the network's process: %w", err)
	}
	files, err := receive(d.socket)
	if err == nil && len(files) != 1 {
		err = fmt.Errorf("the network's process sent %d files for one socket", len(files))
	}
	if err != nil {
		closeFiles(files...)
		return nil, err
	}
	return files[0], nil
}

// Dial connects to a port of the network's loopback interface. The Net was made for it.
func (n *Net) Dial(port int) (net.Conn, error) {
	if n.door == nil {
		return nil, errors.New("the network was not made to be dialed")
	}
	file, err := n.door.knock()
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }() // the connection has its own
	patience := unix.NsecToTimeval(dialTimeout.Nanoseconds())
	if err := unix.SetsockoptTimeval(int(file.Fd()), unix.SOL_SOCKET, unix.SO_SNDTIMEO, &patience); err != nil {
		return nil, err
	}
	if err := unix.Connect(int(file.Fd()), &unix.SockaddrInet4{Port: port, Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		return nil, fmt.Errorf("connect to port %s inside: %w", strconv.Itoa(port), err)
	}
	if err := unix.SetsockoptTimeval(int(file.Fd()), unix.SOL_SOCKET, unix.SO_SNDTIMEO, &unix.Timeval{}); err != nil {
		return nil, err
	}
	return net.FileConn(file)
}

// keepDoor makes a socket for everybody who knocks, until nobody is there any more.
func keepDoor() error {
	for {
		n, err := unix.Read(holderSocket, make([]byte, 1))
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil || n == 0 {
			return err
		}
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return err
		}
		if err := unix.Sendmsg(holderSocket, []byte{1}, unix.UnixRights(fd), nil, 0); err != nil {
			return err
		}
		if err := unix.Close(fd); err != nil {
			return err
		}
	}
}
