package jobtest

import (
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/alvara-ml/alvara/job"
)

// folder makes a folder that the run can be shown, with a path inside of its own where there is an inside.
func (w World) folder(t testing.TB, inside string) job.Mount {
	t.Helper()
	m := job.Mount{Source: filepath.Join(t.TempDir(), "folder")}
	if err := os.Mkdir(m.Source, 0o755); err != nil {
		t.Fatal(err)
	}
	m.Target = m.Source
	if w.Isolated {
		m.Target = inside
	}
	return m
}

func surroundings(t *testing.T, w World) {
	t.Run("environment", func(t *testing.T) {
		t.Setenv("OF_THE_SERVER", "1")
		spec := w.Spec("env")
		spec.Env, spec.Secrets = []string{"A=one two", "HOME=/tmp"}, []string{"IDENTITY_HEADER=hidden"}
		run := w.Start(t, spec)
		status := Wait(t, run)
		got := strings.Split(strings.TrimSpace(Log(t, run, 0)), "\n")
		for _, want := range []string{"A=one two", "HOME=/tmp", "IDENTITY_HEADER=hidden"} {
			if !slices.Contains(got, want) {
				t.Errorf("no %s in %q", want, got)
			}
		}
		if strings.Contains(strings.Join(got, "\n"), "OF_THE_SERVER") || status.State != job.Completed {
			t.Errorf("%+v %q", status, got)
		}
		w.forgot(t, run, "hidden")
	})
	t.Run("a secret while it runs", func(t *testing.T) {
		spec := w.Spec("sleep", "1h")
		spec.Secrets = []string{"IDENTITY_HEADER=hidden"}
		run := w.Start(t, spec)
		opened, err := w.Backend(t).Open(t.Context(), spec.ID) // another server needs it to go on answering the run
		if err != nil {
			t.Fatal(err)
		}
		if got, err := opened.Spec(); err != nil || !slices.Equal(got.Secrets, spec.Secrets) || !slices.Equal(got.Command, spec.Command) {
			t.Errorf("%+v %v", got, err)
		}
		if info, err := os.Stat(filepath.Join(w.Dir, spec.ID)); err != nil || info.Mode().Perm() != 0o700 {
			t.Errorf("%v %v", info, err)
		}
		_ = run
	})
	t.Run("folders", func(t *testing.T) {
		input, output := w.folder(t, "/mnt/in"), w.folder(t, "/mnt/out/model")
		output.Writable = true
		if err := os.WriteFile(filepath.Join(input.Source, "rows"), []byte("1,2,3"), 0o644); err != nil {
			t.Fatal(err)
		}
		mounts := []job.Mount{input, output}
		for _, test := range []struct {
			args []string
			want string
			ok   bool
		}{
			{[]string{"cat", input.Target + "/rows"}, "1,2,3", true},
			{[]string{"write", output.Target + "/model", "learned"}, "", true},
			{[]string{"cat", output.Target + "/model"}, "learned", true},
			{[]string{"write", input.Target + "/rows", "spoilt"}, "read-only file system", !w.Isolated},
		} {
			spec := w.Spec(test.args...)
			spec.Mounts = mounts
			if status, said := w.Run(t, spec); (status.State == job.Completed) != test.ok || test.ok && said != test.want && test.want != "read-only file system" || !test.ok && !strings.Contains(said, test.want) {
				t.Errorf("%q: %+v %q", test.args, status, said)
			}
		}
		if got, err := os.ReadFile(filepath.Join(output.Source, "model")); err != nil || string(got) != "learned" {
			t.Errorf("%q %v", got, err)
		}
	})
	t.Run("working folder", func(t *testing.T) {
		code := w.folder(t, "/code")
		spec := w.Spec("pwd")
		spec.Mounts, spec.Dir = []job.Mount{code}, code.Target
		if status, said := w.Run(t, spec); said != code.Target+"\n" {
			t.Errorf("%+v %q", status, said)
		}
	})
	if w.Isolated {
		t.Run("apart", func(t *testing.T) { apart(t, w) })
	}
}

// forgot tells of a secret that is still in a run's folder.
func (w World) forgot(t *testing.T, run job.Run, secret string) {
	t.Helper()
	files, err := os.ReadDir(filepath.Join(w.Dir, run.ID()))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		if !file.Type().IsRegular() || strings.HasSuffix(file.Name(), ".log") {
			continue
		}
		if text, err := os.ReadFile(filepath.Join(w.Dir, run.ID(), file.Name())); err != nil || strings.Contains(string(text), secret) {
			t.Errorf("%s has the secret: %v", file.Name(), err)
		}
	}
}

// apart: a run does not see another one, nor the folder in which runs are kept, nor the machine's processes.
func apart(t *testing.T, w World) {
	secret := w.Spec("sleep", "1h")
	secret.Secrets = []string{"TOKEN=another"}
	other := w.Start(t, secret)
	Says(t, other, "sleeping")
	for _, path := range []string{
		filepath.Join(w.Dir, secret.ID, "secrets"), filepath.Join(w.Dir, secret.ID, "order"), w.Probe,
		fmt.Sprintf("/proc/%d/environ", os.Getpid()),
	} {
		if status, said := w.Run(t, w.Spec("cat", path)); status.State != job.Failed || !strings.Contains(said, "no such file") {
			t.Errorf("%s: %+v %q", path, status, said)
		}
	}
	if status, said := w.Run(t, w.Spec("write", "/bin/probe2", "x")); status.State != job.Completed {
		t.Errorf("its own root: %+v %q", status, said)
	}
	if _, err := os.Stat(filepath.Join(w.Layers[0], "bin/probe2")); err == nil {
		t.Error("what a run writes is in the layer that others share")
	}
}

// serve answers every connection with a word and what it heard.
func serve(t testing.TB, word string) (address string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	go answer(listener, word)
	return listener.Addr().String()
}

func answer(listener net.Listener, word string) {
	for {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		go func() {
			defer func() { _ = conn.Close() }()
			heard, _ := io.ReadAll(conn)
			_, _ = fmt.Fprintf(conn, "%s heard %d bytes", word, len(heard))
		}()
	}
}

func network(t *testing.T, w World) {
	identity, plane, secret := serve(t, "identity"), serve(t, "plane"), serve(t, "secret")
	forward := []job.Forward{{Inside: identity, Outside: identity}, {Inside: "127.0.0.1:17443", Outside: plane}}
	for address, want := range map[string]string{identity: "identity heard 5 bytes", "127.0.0.1:17443": "plane heard 5 bytes"} {
		spec := w.Spec("get", address, "hello")
		spec.Forward = forward
		if status, said := w.Run(t, spec); status.State != job.Completed || said != want {
			t.Errorf("%s: %+v %q", address, status, said)
		}
	}
	if w.Isolated { // an address of the machine, which is the run's own there
		spec := w.Spec("get", "192.0.2.7:443", "hello")
		spec.Forward = []job.Forward{{Inside: "192.0.2.7:443", Outside: plane}}
		if status, said := w.Run(t, spec); status.State != job.Completed || said != "plane heard 5 bytes" {
			t.Errorf("%+v %q", status, said)
		}
	}
	spec := w.Spec("get", "127.0.0.1:17444", "hello")
	spec.Forward = []job.Forward{{Inside: "127.0.0.1:17444", Outside: "127.0.0.1:1"}}
	begun := time.Now()
	if status, said := w.Run(t, spec); strings.Contains(said, "heard") || time.Since(begun) > 20*time.Second {
		t.Errorf("an address that does not answer: %+v %q", status, said)
	}
	if !w.Isolated {
		return
	}
	for _, address := range []string{secret, plane, "192.0.2.1:80"} {
		for _, forward := range [][]job.Forward{forward, nil} {
			spec := w.Spec("get", address, "hello")
			spec.Forward = forward
			if status, said := w.Run(t, spec); status.State != job.Failed || strings.Contains(said, "heard") {
				t.Errorf("%s with %v: %+v %q", address, forward, status, said)
			}
		}
	}
}
