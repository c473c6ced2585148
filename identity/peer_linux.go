package identity

import (
	"fmt"
	"net"
	"syscall"
)

// peerUID asks the kernel for the user at the other end of a Unix socket.
func peerUID(connection net.Conn) (int, error) {
	local, ok := connection.(*net.UnixConn)
	if !ok {
		return 0, fmt.Errorf("%T is no Unix socket", connection)
	}
	raw, err := local.SyscallConn()
	if err != nil {
		return 0, err
	}
	var credentials *syscall.Ucred
	var asked error
	if err := raw.Control(func(fd uintptr) {
		credentials, asked = syscall.GetsockoptUcred(int(fd), syscall.SOL_SOCKET, syscall.SO_PEERCRED)
	}); err != nil {
		return 0, err
	}
	if asked != nil {
		return 0, asked
	}
	return int(credentials.Uid), nil
}
