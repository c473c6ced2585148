//go:build !linux

package identity

import (
	"errors"
	"net"
)

// peerUID knows no peer here, so local sign-in is refused.
func peerUID(net.Conn) (int, error) {
	return 0, errors.New("peer credentials are read on Linux only")
}
