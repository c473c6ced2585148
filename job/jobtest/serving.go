package jobtest

import (
	"fmt"
	"io"
	"net"
	"path/filepath"
	"sync"
	"testing"

	"github.com/alvara-ml/alvara/job"
	"github.com/alvara-ml/alvara/job/socket"
)

// serving: what runs serve is reached through their sockets, each at its own, whoever asks; and what runs reach may be a socket.
func serving(t *testing.T, w World) {
	outside(t, w)
	paths, runs := make([]string, 2), make([]job.Run, 2)
	for i := range paths { // both at the same port, each in a network of its own or at another one that it is told
		spec := w.Spec("serve", fmt.Sprint("run ", i), "8080")
		paths[i] = filepath.Join(t.TempDir(), "serve.sock")
		spec.Serve = job.Serve{Port: 8080, Socket: paths[i]}
		run := w.Start(t, spec)
		Says(t, run, "serving")
		runs[i] = run
	}
	var all sync.WaitGroup
	for i := range 20 {
		all.Go(func() {
			said := fmt.Sprint("hello ", i)
			want := fmt.Sprintf("run %d heard %s", i%2, said)
			if heard, err := talk(t, paths[i%2], said); err != nil || heard != want {
				t.Errorf("%q %v, want %q", heard, err, want)
			}
		})
	}
	all.Wait()
	if err := runs[0].Cancel(t.Context()); err != nil {
		t.Error(err)
	}
	Wait(t, runs[0])
	if heard, err := talk(t, paths[0], "hello"); err == nil {
		t.Errorf("a run that has ended answers %q", heard)
	}
	if heard, err := talk(t, paths[1], "hello"); err != nil || heard != "run 1 heard hello" {
		t.Errorf("the other run: %q %v", heard, err)
	}
	silent := w.Spec("sleep", "1h")
	silent.Serve = job.Serve{Port: 8081, Socket: filepath.Join(t.TempDir(), "serve.sock")}
	run := w.Start(t, silent)
	Says(t, run, "sleeping")
	if heard, _ := talk(t, silent.Serve.Socket, "hello"); heard != "" {
		t.Errorf("nobody listens, and %q is heard", heard)
	}
}

// outside: an address inside may lead to a socket outside.
func outside(t *testing.T, w World) {
	path := filepath.Join(t.TempDir(), "identity.sock")
	listener, err := socket.Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	go answer(listener, "socket")
	spec := w.Spec("get", "127.0.0.1:17445", "hello")
	spec.Forward = []job.Forward{{Inside: "127.0.0.1:17445", Outside: "unix:" + path}}
	if status, said := w.Run(t, spec); status.State != job.Completed || said != "socket heard 5 bytes" {
		t.Errorf("%+v %q", status, said)
	}
}

// talk says something to who serves behind a socket, and gives the answer.
func talk(t testing.TB, path, said string) (string, error) {
	conn, err := socket.Dial(t.Context(), path)
	if err != nil {
		return "", err
	}
	defer func() { _ = conn.Close() }()
	if _, err := io.WriteString(conn, said); err != nil {
		return "", err
	}
	if err := conn.(*net.UnixConn).CloseWrite(); err != nil {
		return "", err
	}
	heard, err := io.ReadAll(conn)
	return string(heard), err
}
