//go:build linux

package sandbox

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/alvara-ml/alvara/resource"
)

func TestExitStatus(t *testing.T) {
	for _, test := range []struct {
		name   string
		args   []string
		code   int
		signal string
		output string
	}{
		{"true", []string{"/bin/true"}, 0, "", ""},
		{"a status", []string{"probe", "exit", "3"}, 3, "", ""},
		{"the largest status", []string{"probe", "exit", "255"}, 255, "", ""},
		{"a status that looks like a signal", []string{"probe", "exit", "137"}, 137, "", ""},
		{"a signal", []string{"probe", "signal", "15"}, 143, "SIGTERM", ""},
		{"a signal that cannot be caught", []string{"probe", "signal", "9"}, 137, "SIGKILL", ""},
		{"another signal", []string{"probe", "signal", "1"}, 129, "SIGHUP", ""},
		{"not there", []string{"nothing"}, 127, "", "cannot execute nothing: no such file or directory\n"},
		{"not there, by path", []string{"/bin/nothing"}, 127, "", "cannot execute /bin/nothing: no such file or directory\n"},
		{"a folder", []string{"/etc"}, 126, "", "cannot execute /etc: permission denied\n"},
		{"not a program", []string{"/text"}, 126, "", "cannot execute /text: exec format error\n"},
	} {
		t.Run(test.name, func(t *testing.T) {
			spec := box(t)
			must(t, os.WriteFile(filepath.Join(spec.Root, "text"), []byte("no program"), 0o755))
			spec.Args = test.args
			exit, output := run(t, spec)
			if exit.Code != test.code || exit.Signal != test.signal || exit.TimedOut || exit.OutOfMemory || output != test.output {
				t.Errorf("%+v %q", exit, output)
			}
		})
	}
}

// Streams, arguments and environment arrive as they are, and nothing of the caller's comes with them.
func TestStreams(t *testing.T) {
	t.Setenv("SECRET", "of the caller")
	spec := box(t, "args", "a b", "", "ü\n")
	if got := succeed(t, spec); got != `["a b" "" "ü\n"]` {
		t.Errorf("arguments: %s", got)
	}
	spec = box(t, "env")
	spec.Env = []string{"A=1", "B=two words", "A=2"}
	if got := succeed(t, spec); got != "B=two words\nA=2\nPATH="+DefaultPath+"\nHOME=/root" {
		t.Errorf("environment: %q", got)
	}
	spec = box(t, "copy")
	spec.Stdin = strings.NewReader(strings.Repeat("0123456789", 1<<17))
	if got := succeed(t, spec); len(got) != 10<<17 {
		t.Errorf("%d bytes came back", len(got))
	}
	spec = box(t, "both")
	var out, errs bytes.Buffer
	spec.Stdout, spec.Stderr = &out, &errs
	if _, err := Run(context.Background(), spec); err != nil || out.String() != "out 0\nout 1\nout 2\n" || errs.String() != "err 0\nerr 1\nerr 2\n" {
		t.Errorf("%v %q %q", err, out.String(), errs.String())
	}
	if got := succeed(t, box(t, "both")); got != "out 0\nerr 0\nout 1\nerr 1\nout 2\nerr 2" {
		t.Errorf("both into one, in order: %q", got)
	}
	if got := succeed(t, box(t, "stdout")); got != "opened again" {
		t.Errorf("/dev/stdout: %q", got)
	}
	spec = box(t, "copy") // no input
	spec.Stdout, spec.Stderr = nil, nil
	if exit, err := Run(context.Background(), spec); err != nil || exit.Code != 0 {
		t.Errorf("without streams: %+v %v", exit, err)
	}
	if got := succeed(t, box(t, "ls", "/proc/self/fd")); strings.Fields(got)[len(strings.Fields(got))-1] > "5" {
		t.Errorf("open files inside: %q", got) // 0, 1, 2, the folder, and what Go waits with
	}
}

// Input that never comes does not keep a command that has ended.
func TestInputThatBlocks(t *testing.T) {
	read, write := io.Pipe()
	defer func() { _ = write.Close() }()
	spec := box(t, "exit", "0")
	spec.Stdin = read
	succeed(t, spec)
}

type failingWriter struct{ after int }

var errFull = errors.New("the disk is full")

func (w *failingWriter) Write(p []byte) (int, error) {
	if w.after -= len(p); w.after < 0 {
		return 0, errFull
	}
	return len(p), nil
}

func TestOutput(t *testing.T) {
	spec := box(t, "flood", "51200") // 50 MiB
	count := &countingWriter{}
	spec.Stdout = count
	if exit, err := Run(context.Background(), spec); err != nil || exit.Code != 0 || count.n != 50<<20 {
		t.Errorf("%+v %v, %d bytes", exit, err, count.n)
	}
	spec = box(t, "flood", "1000000000")
	spec.Stdout = &failingWriter{after: 1 << 20}
	if exit, err := Run(context.Background(), spec); !errors.Is(err, errFull) || exit.Code == 0 {
		t.Errorf("%+v %v", exit, err)
	}
}

type countingWriter struct{ n int }

func (w *countingWriter) Write(p []byte) (int, error) { w.n += len(p); return len(p), nil }

// starting is a writer that tells when the command has written.
func starting() (*lineWriter, <-chan struct{}) {
	w := &lineWriter{wrote: make(chan struct{})}
	return w, w.wrote
}

type lineWriter struct {
	once  sync.Once
	wrote chan struct{}
	text  bytes.Buffer
}

func (w *lineWriter) Write(p []byte) (int, error) {
	w.text.Write(p)
	w.once.Do(func() { close(w.wrote) })
	return len(p), nil
}

func TestEnd(t *testing.T) {
	t.Run("the context ends: the command may finish", func(t *testing.T) {
		spec := box(t, "term")
		out, wrote := starting()
		spec.Stdout = out
		ctx, cancel := context.WithCancel(context.Background())
		go func() { <-wrote; cancel() }()
		begun := time.Now()
		exit, err := Run(ctx, spec)
		if !errors.Is(err, context.Canceled) || exit.Code != 42 || out.text.String() != "sleeping\nsaved\n" || time.Since(begun) > Grace {
			t.Errorf("%+v %v %q after %v", exit, err, out.text.String(), time.Since(begun))
		}
	})
	t.Run("the context ends: one that does nothing about it ends", func(t *testing.T) {
		spec := box(t, "sleep", "1h")
		out, wrote := starting()
		spec.Stdout = out
		ctx, cancel := context.WithCancel(context.Background())
		go func() { <-wrote; cancel() }()
		if exit, err := Run(ctx, spec); !errors.Is(err, context.Canceled) || exit.Code == 0 {
			t.Errorf("%+v %v", exit, err)
		}
	})
	t.Run("SIGTERM is ignored", func(t *testing.T) {
		spec := box(t, "ignore")
		out, wrote := starting()
		spec.Stdout = out
		ctx, cancel := context.WithCancel(context.Background())
		var asked time.Time
		go func() { <-wrote; asked = time.Now(); cancel() }()
		exit, err := Run(ctx, spec)
		if took := time.Since(asked); !errors.Is(err, context.Canceled) || exit.Signal != "SIGKILL" || exit.Code != 137 || took < Grace || took > 3*Grace {
			t.Errorf("%+v %v after %v", exit, err, took)
		}
	})
	t.Run("the time ends while it starts", func(t *testing.T) {
		for limit := time.Millisecond; limit < 200*time.Millisecond; limit = limit*5/4 + time.Millisecond {
			spec := box(t, "sleep", "1h")
			spec.Limits.Time = limit
			if exit, err := Run(context.Background(), spec); err != nil || !exit.TimedOut || exit.Code == 0 {
				t.Errorf("a limit of %v: %+v %v", limit, exit, err)
			}
		}
	})
	t.Run("the time ends", func(t *testing.T) {
		spec := box(t, "sleep", "1h")
		spec.Limits.Time = 300 * time.Millisecond
		begun := time.Now()
		exit, _ := run(t, spec)
		if took := time.Since(begun); !exit.TimedOut || exit.Code == 0 || took > Grace {
			t.Errorf("%+v after %v", exit, took)
		}
	})
	t.Run("before it begins", func(t *testing.T) {
		spec := box(t, "true")
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		if _, err := Run(ctx, spec); !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})
	t.Run("what it left in the background ends with it", func(t *testing.T) {
		begun := time.Now()
		succeed(t, box(t, "orphan", "1h"))
		if took := time.Since(begun); took > 10*time.Second {
			t.Errorf("after %v", took)
		}
	})
}

func TestSameIDTwice(t *testing.T) {
	spec := box(t, "sleep", "1h")
	out, wrote := starting()
	spec.Stdout = out
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { _, err := Run(ctx, spec); done <- err }()
	<-wrote
	again := spec
	again.Stdout = nil
	_, err := Run(context.Background(), again)
	if e, ok := resource.AsError(err); !ok || e.Kind != resource.Conflict || e.Target != "ID" {
		t.Errorf("%v", err)
	}
	if swept, err := Sweep(spec.State); err != nil || len(swept) != 0 {
		t.Errorf("a sweep touched what runs: %v %v", swept, err)
	}
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	spec.Stdout, spec.Args = nil, []string{"probe", "exit", "7"}
	if exit, err := Run(context.Background(), spec); err != nil || exit.Code != 7 {
		t.Errorf("the id can be used again: %+v %v", exit, err)
	}
}
