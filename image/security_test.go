package image_test

import (
	"archive/tar"
	"context"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/alvara-ml/alvara/image"
	"github.com/alvara-ml/alvara/image/sandboxed"
	"github.com/alvara-ml/alvara/resource"
)

// MI-11: a Dockerfile reaches nothing but its context and its root. Every case is refused, with a message that says what.
func TestRefusedPaths(t *testing.T) {
	w := newWorld(t)
	evil := func(entries ...file) file { return file{name: "evil.tar", text: string(archive(t, entries...))} }
	for name, c := range map[string]struct {
		dockerfile string
		files      []file
		says       string
	}{
		"link out of the context":          {"FROM @base\nCOPY link /x", []file{{name: "link", kind: tar.TypeSymlink, link: "/etc/hostname"}}, "no file link"},
		"relative link out of the context": {"FROM @base\nCOPY link /x", []file{{name: "link", kind: tar.TypeSymlink, link: "../../../../etc/hostname"}}, "no file link"},
		"folder link out of the context":   {"FROM @base\nCOPY d/hostname /x", []file{{name: "d", kind: tar.TypeSymlink, link: "/etc"}}, "no file d/hostname"},
		"link loop":                        {"FROM @base\nCOPY l /x", []file{{name: "l", kind: tar.TypeSymlink, link: "l"}}, "symbolic links"},
		"dots":                             {"FROM @base\nCOPY ../x /x", nil, "leads out of the context"},
		"dots within":                      {"FROM @base\nCOPY a/../../x /x", nil, "leads out of the context"},
		"absolute dots":                    {"FROM @base\nADD /../x /x", nil, "leads out of the context"},
		"dots of a stage":                  {"FROM @base AS a\nFROM @base\nCOPY --from=a ../../etc/hostname /x", nil, "leads out of the stage a"},
		"a stage's link to the machine":    {"FROM @base AS a\nFROM @base\nCOPY --from=a /up/hostname /x", nil, "no file /up/hostname"},
		"a file of the machine":            {"FROM @base\nCOPY /etc/hostname /x", nil, "no file /etc/hostname"},
		"archive with dots":                {"FROM @base\nADD evil.tar /", []file{evil(file{name: "../x", text: "x"})}, "leads out"},
		"archive with a hard link out":     {"FROM @base\nADD evil.tar /", []file{evil(file{name: "x", kind: tar.TypeLink, link: "../../etc/hostname"})}, "leads out"},
		"archive with a link to below":     {"FROM @base\nADD evil.tar /", []file{evil(file{name: "x", kind: tar.TypeLink, link: "etc/passwd"})}, "no file before it"},
		"archive with a device":            {"FROM @base\nADD evil.tar /", []file{evil(file{name: "x", kind: tar.TypeBlock})}, "no file, folder or link"},
		"archive with a whiteout":          {"FROM @base\nADD evil.tar /", []file{evil(file{name: ".wh.etc"})}, "removed files"},
		"context with dots":                {"FROM @base", []file{{name: "../x"}}, "leads out of it"},
		"context with a device":            {"FROM @base", []file{{name: "x", kind: tar.TypeChar}}, "device"},
		"context through a link":           {"FROM @base", []file{{name: "l", kind: tar.TypeSymlink, link: "/tmp"}, {name: "l/x"}}, "symbolic link"},
		"context hard link out":            {"FROM @base", []file{{name: "x", kind: tar.TypeLink, link: "/etc/hostname"}}, "hard link"},
		"ignored file":                     {"FROM @base\nCOPY secret /", []file{{name: "secret"}, {name: ".dockerignore", text: "**\n!Dockerfile"}}, "no file secret"},
		"ignore file out of the context":   {"FROM @base\nCOPY hostname /", []file{{name: ".dockerignore", kind: tar.TypeSymlink, link: "/etc/hostname"}}, "no file hostname"},
		"bind of the machine":              {"FROM @base\nRUN --mount=type=bind,source=../..,target=/m cat /m/etc/hostname", nil, "non-zero"},
		"workdir loop":                     {"FROM @base\nWORKDIR /loop/x", nil, "symbolic links"},
	} {
		t.Run(name, func(t *testing.T) {
			outside := snapshot(t, w.dir)
			_, log, err := w.build(w.order(c.dockerfile, c.files...))
			e, ok := resource.AsError(err)
			if !ok || e.Kind != resource.Invalid || !strings.Contains(e.Message, c.says) {
				t.Errorf("error %v; want Invalid with %q\n%s", err, c.says, log)
			}
			if now := snapshot(t, w.dir); now != outside {
				t.Errorf("beside the build there is %s, was %s", now, outside)
			}
		})
	}
}

// snapshot is what lies around the folder of builds.
func snapshot(t *testing.T, dir string) string {
	t.Helper()
	names, err := os.ReadDir(filepath.Dir(dir))
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, n := range names {
		if n.Name() == filepath.Base(dir) || n.Name() == "001" {
			all = append(all, n.Name())
		}
	}
	return strings.Join(all, " ")
}

// Links of the image on the way are followed as a process in the image would, so what is written lands in the image.
func TestWritesThroughLinks(t *testing.T) {
	w := newWorld(t)
	order := w.order(`FROM @base
COPY f /out/absolute
COPY f /up/relative
COPY d /out
ADD a.tar /out/
ADD a.tar /up
WORKDIR /up/work
COPY f .
`, file{name: "f", text: "F"}, folder("d/"), file{name: "d/in", text: "D"}, folder("d/sub/"), file{name: "d/sub/x", text: "S"},
		file{name: "a.tar", text: string(archive(t, file{name: "added", text: "A"}, file{name: "/abs", text: "A"}, file{name: "l", kind: tar.TypeSymlink, link: "/"}, file{name: "l/through", text: "T"}))})
	made, _, _ := w.must(order)
	got := files(t, made, 1)
	for name, want := range map[string]string{"etc/absolute": "F", "etc/relative": "F", "etc/in": "D", "etc/sub/x": "S", "etc/added": "A", "etc/abs": "A", "through": "T", "etc/work/f": "F"} {
		if text(got[name]) != want {
			t.Errorf("%s holds %q, not %q", name, text(got[name]), want)
		}
	}
	for name := range got {
		if strings.HasPrefix(name, "out") || strings.HasPrefix(name, "up") {
			t.Errorf("the link %s was replaced", name)
		}
	}
	for _, name := range []string{"/etc/absolute", "/etc/relative", "/etc/in", "/etc/added", "/etc/abs", "/through", "/etc/work"} {
		if _, err := os.Lstat(name); err == nil {
			t.Errorf("%s was written on the machine", name)
		}
	}
}

// A command sees its root and nothing else: no file of the machine, no other process, no variable of the builder, no network.
func TestRunSeesNothing(t *testing.T) {
	w := newWorld(t)
	t.Setenv("IDENTITY_HEADER", "very-secret")
	t.Setenv("IDENTITY_ENDPOINT", "http://127.0.0.1:1/msi/token")
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	canary := filepath.Join(t.TempDir(), "canary-of-the-machine")
	if err := os.WriteFile(canary, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	_, log, err := w.build(w.order("FROM @base\nRUN env && processes && find / && dial "+listener.Addr().String(), file{name: "context-file"}))
	if err != nil {
		t.Fatal(err, log)
	}
	for _, secret := range []string{"very-secret", "IDENTITY", "canary", "context-file", w.dir, "\nconnected"} {
		if strings.Contains(log, secret) {
			t.Errorf("the command sees %q:\n%s", secret, log)
		}
	}
	if !strings.Contains(log, "not connected") || !strings.Contains(log, "/bin/sh") || !strings.Contains(log, "processes 2") {
		t.Errorf("the command did not look:\n%s", log)
	}
}

// A secret argument is in the command's environment, and neither in the log, nor in the history, nor in a message.
func TestSecretArguments(t *testing.T) {
	w := newWorld(t)
	order := w.order("FROM @base\nARG TOKEN\nRUN write /len $TOKEN && echo $TOKEN\nENV SHOWN=x\nRUN echo ${TOKEN}")
	order.Arguments = []image.Argument{{Name: "TOKEN", Value: "s3cr3t-value", Secret: true}}
	made, _, log := w.must(order)
	if got := text(files(t, made, 1)["len"]); got != "s3cr3t-value" {
		t.Errorf("the command got %q", got)
	}
	raw, err := made.RawConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(log, "s3cr3t") || strings.Contains(string(raw), "s3cr3t") || !strings.Contains(string(raw), "TOKEN=***") {
		t.Errorf("the secret shows:\n%s\n%s", log, raw)
	}
	order = w.order("FROM @base\nARG TOKEN\nRUN [\"/bin/sh\", \"$TOKEN\"]\nCOPY $TOKEN /x")
	order.Arguments = []image.Argument{{Name: "TOKEN", Value: "s3cr3t-value", Secret: true}}
	if _, log, err := w.build(order); err == nil || strings.Contains(err.Error()+log, "s3cr3t") {
		t.Errorf("the secret shows: %v\n%s", err, log)
	}
}

// Limits end a build with a message that says which.
func TestBuildLimits(t *testing.T) {
	w := newWorld(t)
	bomb := file{name: "bomb", text: strings.Repeat("0", 1<<20)}
	for name, c := range map[string]struct {
		order  image.Order
		limits image.Limits
	}{
		"context bytes":   {w.order("FROM @base", bomb), image.Limits{ContextBytes: 1 << 19}},
		"context entries": {w.order("FROM @base", folder("a"), folder("b"), folder("c")), image.Limits{Entries: 3}},
		"archive":         {w.order("FROM @base\nADD a.tgz /", file{name: "a.tgz", text: string(zipped(t, archive(t, file{name: "big", text: strings.Repeat("0", 8<<20)})))}), image.Limits{LayerBytes: 7 << 20}},
		"time":            {w.order("FROM @base\nRUN sleep"), image.Limits{Time: time.Second}},
		"dockerfile":      {w.order("FROM @base\n#" + strings.Repeat("x", 2000)), image.Limits{DockerfileMax: 1000}},
	} {
		t.Run(name, func(t *testing.T) {
			c.order.Limits = c.limits
			_, _, err := w.build(c.order)
			if resource.KindOf(err) != resource.TooLarge {
				t.Errorf("error %v; want TooLarge", err)
			}
		})
	}
}

// A build that is called off ends at once, and leaves nothing half done: the next one works.
func TestCancel(t *testing.T) {
	w := newWorld(t)
	order := w.order("FROM @base\nRUN write /a 1\nRUN sleep")
	ctx, cancel := context.WithCancel(context.Background())
	began := make(chan struct{}, 10)
	go func() { <-began; cancel() }()
	start := time.Now()
	_, err := sandboxed.New(w.dir).Build(ctx, order, image.Report{Log: func(line string) {
		if strings.Contains(line, "RUN sleep") {
			time.AfterFunc(300*time.Millisecond, func() { began <- struct{}{} })
		}
	}})
	if err != context.Canceled || time.Since(start) > 20*time.Second {
		t.Errorf("after %s: %v", time.Since(start), err)
	}
	if left, err := os.ReadDir(filepath.Join(w.dir, "layers", "tmp")); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v (%v)", left, err)
	}
}
