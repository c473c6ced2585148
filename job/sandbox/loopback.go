//go:build linux

package sandbox

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// loopback is the interface, and loopbackIndex its number: it is the first of every network.
const (
	loopback      = "lo"
	loopbackIndex = 1
)

// withSocket calls f with a socket to set the interface by.
func withSocket(family int, f func(fd int) error) error {
	fd, err := unix.Socket(family, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	return errors.Join(f(fd), unix.Close(fd))
}

func loopbackUp() error {
	return withSocket(unix.AF_INET, func(fd int) error {
		request, err := unix.NewIfreq(loopback)
		if err != nil {
			return err
		}
		request.SetUint16(unix.IFF_UP)
		return unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, request)
	})
}

// ownAddress gives the loopback interface the IP address of host:port, where it is none of its own.
func ownAddress(address string) error {
	at, err := netip.ParseAddrPort(address)
	if err != nil {
		return err
	}
	ip := at.Addr().Unmap()
	switch {
	case ip.IsLoopback():
		return nil
	case ip.IsUnspecified() || ip.IsMulticast() || ip.Zone() != "":
		return errors.New("it is not a single address")
	case ip.Is4():
		return ownIPv4(ip)
	}
	return ownIPv6(ip)
}

// listenSoon listens at an address. One of IPv6 is checked by the kernel for a moment before it can be used.
func listenSoon(address string) (net.Listener, error) {
	for end := time.Now().Add(5 * time.Second); ; time.Sleep(time.Millisecond) {
		listener, err := net.Listen("tcp", address)
		if !errors.Is(err, unix.EADDRNOTAVAIL) || time.Now().After(end) {
			return listener, err
		}
	}
}

// ownIPv4 gives the address a label that is its own, so that it is the only one under it.
func ownIPv4(ip netip.Addr) error {
	return withSocket(unix.AF_INET, func(fd int) error {
		four := ip.As4()
		label := uint32(four[0])<<24 | uint32(four[1])<<16 | uint32(four[2])<<8 | uint32(four[3])
		for _, set := range []struct {
			what  uint
			value [4]byte
		}{{unix.SIOCSIFADDR, four}, {unix.SIOCSIFNETMASK, [4]byte{255, 255, 255, 255}}} {
			request, err := unix.NewIfreq(loopback + ":" + strconv.FormatUint(uint64(label), 36))
			if err != nil {
				return err
			}
			if err := request.SetInet4Addr(set.value[:]); err != nil {
				return err
			}
			if err := unix.IoctlIfreq(fd, set.what, request); err != nil {
				return fmt.Errorf("give it to the loopback interface: %w", err)
			}
		}
		return nil
	})
}

func ownIPv6(ip netip.Addr) error {
	return withSocket(unix.AF_INET6, func(fd int) error {
		request := struct { // in6_ifreq
			address [16]byte
			prefix  uint32
			index   int32
		}{ip.As16(), 128, loopbackIndex}
		_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.SIOCSIFADDR, uintptr(unsafe.Pointer(&request)))
		if errno != 0 && errno != unix.EEXIST {
			return fmt.Errorf("give it to the loopback interface: %w", errno)
		}
		return nil
	})
}
