package local

import (
	"bytes"
	"io"
	"net"
	"sync"
	"testing"
)

// Connections are carried both ways to their ends, many at once, and one that is answered by nobody is closed.
func TestForward(t *testing.T) {
	listen := func() net.Listener {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = listener.Close() })
		return listener
	}
	echo, inside, nowhere := listen(), listen(), listen()
	go func() {
		for {
			conn, err := echo.Accept()
			if err != nil {
				return
			}
			go func() {
				_, _ = io.Copy(conn, conn)
				_ = conn.Close()
			}()
		}
	}()
	go forward(inside, outside(echo.Addr().String()))
	go forward(nowhere, outside("127.0.0.1:1"))
	talk := func(to net.Listener, said []byte) ([]byte, error) {
		conn, err := net.Dial("tcp", to.Addr().String())
		if err != nil {
			return nil, err
		}
		defer func() { _ = conn.Close() }()
		go func() {
			_, _ = conn.Write(said)
			_ = conn.(*net.TCPConn).CloseWrite()
		}()
		return io.ReadAll(conn)
	}
	var all sync.WaitGroup
	for i := range 2 * mostConnections {
		all.Go(func() {
			said := bytes.Repeat([]byte{byte(i)}, 10_000+i)
			if heard, err := talk(inside, said); err != nil || !bytes.Equal(heard, said) {
				t.Errorf("%d bytes came back of %d: %v", len(heard), len(said), err)
			}
		})
	}
	all.Wait()
	if heard, _ := talk(nowhere, []byte("hello")); len(heard) != 0 {
		t.Errorf("%q", heard)
	}
}
