// Package socket listens at and dials Unix sockets whose paths may be longer than the kernel's addresses, as those in runs' folders are.
package socket

import (
	"context"
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
)

// Listen listens at a path, in the place of what an earlier process left there. Only the caller's user can connect.
func Listen(path string) (*net.UnixListener, error) {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	var listener *net.UnixListener
	err := at(path, func(address string) (err error) {
		listener, err = net.ListenUnix("unix", &net.UnixAddr{Name: address, Net: "unix"})
		return err
	})
	if err != nil {
		return nil, err
	}
	listener.SetUnlinkOnClose(false) // the address means nothing by then; the folder is removed with the run
	if err := os.Chmod(path, 0o600); err != nil {
		return nil, errors.Join(err, listener.Close())
	}
	return listener, nil
}

// Dial connects to who listens at a path.
func Dial(ctx context.Context, path string) (conn net.Conn, err error) {
	var dialer net.Dialer
	err = at(path, func(address string) (err error) {
		conn, err = dialer.DialContext(ctx, "unix", address)
		return err
	})
	return conn, err
}

// longest is what an address holds on every system, in bytes.
const longest = 100

// at gives an address for a path, which holds while use runs.
func at(path string, use func(address string) error) error {
	if len(path) <= longest {
		return use(path)
	}
	folder, address, err := openFolder(filepath.Dir(path))
	if err != nil {
		return err
	}
	defer func() { _ = folder.Close() }()
	return use(address + "/" + filepath.Base(path))
}
