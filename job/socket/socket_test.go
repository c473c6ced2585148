package socket_test

import (
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/alvara-ml/alvara/job/socket"
)

func TestSockets(t *testing.T) {
	for name, folder := range map[string]string{"short": "s", "long": strings.Repeat("long/", 60)} {
		t.Run(name, func(t *testing.T) {
			if name == "long" && runtime.GOOS != "linux" {
				t.Skip("paths of sockets are short on this system")
			}
			top, err := os.MkdirTemp("", "s")
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = os.RemoveAll(top) })
			path := filepath.Join(top, folder, "identity.sock")
			if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
				t.Fatal(err)
			}
			for range 2 { // the second finds what the first left
				listener, err := socket.Listen(path)
				if err != nil {
					t.Fatal(err)
				}
				if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
					t.Errorf("%v %v", info, err)
				}
				go echo(listener)
				conn, err := socket.Dial(t.Context(), path)
				if err != nil {
					t.Fatal(err)
				}
				_, err = io.WriteString(conn, "hello")
				if half := conn.(*net.UnixConn).CloseWrite(); err != nil || half != nil {
					t.Fatal(err, half)
				}
				if heard, err := io.ReadAll(conn); err != nil || string(heard) != "hello" {
					t.Errorf("%q %v", heard, err)
				}
				if err := listener.Close(); err != nil {
					t.Error(err)
				}
				if _, err := socket.Dial(t.Context(), path); err == nil {
					t.Error("somebody answers who has ended")
				}
			}
		})
	}
}

func echo(listener net.Listener) {
	conn, err := listener.Accept()
	if err != nil {
		return
	}
	_, _ = io.Copy(conn, conn)
	_ = conn.Close()
}
