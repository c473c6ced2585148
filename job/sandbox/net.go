//go:build linux

package sandbox

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// Net is a network that several commands share (Spec.Net): a user and a network namespace with nothing but a loopback interface,
// listeners in it that the program outside accepts from, and connections that it makes to what listens there. They are the only way
// in or out, and need no rights on the host's network.
type Net struct {
	// Listeners are at the addresses that were asked for, in their order.
	Listeners []net.Listener

	user, network *os.File
	mapping       Mapping
	door          *door // nil where nothing is dialed
}

// most is how many listeners one network has at most: what one message can carry, without the two namespaces.
const most = 200

const (
	holderCommand = "sandbox-network"
	holderSocket  = 3 // the file with which it is started
	answerMax     = 4 << 10
)

// NewNet makes a network with listeners at TCP addresses of its loopback interface, such as "127.0.0.1:8443", which gets those that it
// does not have by itself, such as "10.0.0.5:8443", and with a process
// that stays for the sake of Dial when that is to be used. It takes as long as starting a process.
// Errors: Invalid for an address at which nobody can listen, Unavailable for what the machine lacks.
func NewNet(ctx context.Context, addresses []string, dialed bool) (*Net, error) {
	if len(addresses) > most {
		return nil, invalid("Net", "%d addresses are more than the %d that a network can have.", len(addresses), most)
	}
	n := &Net{mapping: Map()}
	ours, theirs, err := socketPair()
	if err != nil {
		return nil, err
	}
	if dialed {
		n.door, err = n.openDoor(ctx, ours, theirs, addresses)
	} else {
		err = n.startHolder(ctx, theirs, addresses)
		defer closeFiles(ours)
	}
	if err != nil {
		return nil, err
	}
	files, err := receive(ours)
	defer closeFiles(files...) // but for what is kept
	if err == nil && len(files) != len(addresses)+2 {
		err = fmt.Errorf("the network's process sent %d files for %d addresses", len(files), len(addresses))
	}
	if err != nil {
		return nil, errors.Join(err, n.door.close())
	}
	for i, file := range files[2:] {
		listener, err := net.FileListener(file)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("listen at %s inside: %w", addresses[i], err), n.Close())
		}
		n.Listeners = append(n.Listeners, listener)
	}
	n.user, n.network = files[0], files[1]
	files[0], files[1] = nil, nil
	return n, nil
}

// Close ends the listeners and lets go of the network; it is gone with the last command in it.
func (n *Net) Close() error {
	for _, listener := range n.Listeners {
		_ = listener.Close() // which may be closed already
	}
	closeFiles(n.user, n.network)
	return n.door.close()
}

// paths of the namespaces, for a child of this process.
func (n *Net) paths() (user, network string) {
	path := func(file *os.File) string {
		return "/proc/" + strconv.Itoa(os.Getpid()) + "/fd/" + strconv.Itoa(int(file.Fd()))
	}
	return path(n.user), path(n.network)
}

func socketPair() (ours, theirs *os.File, err error) {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, err
	}
	return os.NewFile(uintptr(pair[0]), "network"), os.NewFile(uintptr(pair[1]), "network"), nil
}

// holder is this program, to be started in new namespaces. With root's rights the process keeps root's id, which has none
// inside, so it can be executed whatever the permissions of the program's file are; two capabilities are what it needs.
func (n *Net) holder(ctx context.Context, socket *os.File, said *bytes.Buffer, arguments ...string) *exec.Cmd {
	command := exec.CommandContext(ctx, "/proc/self/exe", arguments...)
	command.Dir, command.Env, command.Stderr, command.ExtraFiles = "/", []string{"GOMAXPROCS=1"}, said, []*os.File{socket}
	command.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:                 unix.CLONE_NEWUSER | unix.CLONE_NEWNET,
		UidMappings:                []syscall.SysProcIDMap{{HostID: int(n.mapping.Host), Size: int(n.mapping.Size)}},
		GidMappings:                []syscall.SysProcIDMap{{HostID: int(n.mapping.Group), Size: int(n.mapping.Size)}},
		GidMappingsEnableSetgroups: n.mapping.Size > 1,
		AmbientCaps:                []uintptr{unix.CAP_NET_ADMIN, unix.CAP_NET_BIND_SERVICE},
	}
	return command
}

// startHolder starts the process, waits for it and closes its end.
func (n *Net) startHolder(ctx context.Context, socket *os.File, addresses []string) error {
	var said bytes.Buffer
	command := n.holder(ctx, socket, &said, append([]string{holderCommand}, addresses...)...)
	command.SysProcAttr.Pdeathsig = unix.SIGKILL
	runtime.LockOSThread() // which must not end before the process does
	defer runtime.UnlockOSThread()
	err := command.Run()
	_ = socket.Close()
	if err != nil {
		return noNet(err, &said)
	}
	return nil
}

func noNet(err error, said *bytes.Buffer) error {
	return unavailable("A network for the sandbox cannot be made: %v. Allow user namespaces (sysctl user.max_user_namespaces, user.max_net_namespaces).", err).Because(
		fmt.Errorf("%w: %s", err, said.Bytes()))
}

func receive(socket *os.File) ([]*os.File, error) {
	text, rights := make([]byte, answerMax), make([]byte, unix.CmsgSpace(4*(most+2)))
	n, m, _, _, err := unix.Recvmsg(int(socket.Fd()), text, rights, unix.MSG_CMSG_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("hear from the network's process: %w", err)
	}
	messages, err := unix.ParseSocketControlMessage(rights[:m])
	if err != nil {
		return nil, err
	}
	var files []*os.File
	for _, message := range messages {
		numbers, err := unix.ParseUnixRights(&message)
		if err != nil {
			return files, err
		}
		for _, fd := range numbers {
			files = append(files, os.NewFile(uintptr(fd), "inside"))
		}
	}
	if n > 1 {
		return files, invalid("Net", "%s", text[:n])
	}
	if n == 0 {
		return files, errors.New("the network's process has ended")
	}
	return files, nil
}

// isHolder tells that this process is to make a network.
func isHolder(args []string) bool { return len(args) >= 2 && args[1] == holderCommand }

// holderMain makes the network that it was started in ready, hands everything to its parent, and ends, or opens the door.
func holderMain(addresses []string) {
	stays := len(addresses) > 0 && addresses[0] == doorArgument
	if stays {
		addresses = addresses[1:]
	}
	err := hold(addresses)
	if err == nil && stays {
		err = keepDoor()
	}
	if err != nil {
		_, _ = io.WriteString(os.Stderr, err.Error())
		os.Exit(1)
	}
	os.Exit(0)
}

func hold(addresses []string) error {
	if err := loopbackUp(); err != nil {
		return fmt.Errorf("bring up the loopback interface: %w", err)
	}
	var fds []int
	for _, name := range []string{"user", "net"} {
		fd, err := unix.Open("/proc/self/ns/"+name, unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			return err
		}
		fds = append(fds, fd)
	}
	for _, address := range addresses {
		err := ownAddress(address)
		var listener net.Listener
		if err == nil {
			listener, err = listenSoon(address)
		}
		if err != nil {
			why := fmt.Sprintf("Nobody can listen at the address %q inside: %v. Use a port of 127.0.0.1 or of another single address, each once.", address, err)
			return unix.Sendmsg(holderSocket, []byte(why), nil, nil, 0)
		}
		file, err := listener.(*net.TCPListener).File()
		if err != nil {
			return err
		}
		fds = append(fds, int(file.Fd()))
	}
	return unix.Sendmsg(holderSocket, []byte{1}, unix.UnixRights(fds...), nil, 0)
}
