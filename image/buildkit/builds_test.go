package buildkit_test

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	control "github.com/moby/buildkit/api/services/control"

	"github.com/alvara-ml/alvara/access"
)

// MI-11: a configured BuildKit daemon takes the whole language: what the built-in builder refuses by name is built, pulled and
// pushed by the run's identity.
func TestWholeLanguage(t *testing.T) {
	w := newWorld(t).trusted()
	dockerfile := `# syntax=registry.invalid/nobody/has:this
FROM @base AS made
ARG GREETING=hi
RUN --mount=type=cache,target=/cache,id=shared write /cache/kept one
RUN --mount=type=cache,target=/cache,id=shared cat /cache/kept && write /made $GREETING
RUN --mount=type=secret,id=TOKEN,env=TOKEN write /length a && echo token $TOKEN
RUN <<END
write /heredoc first
write /heredoc2 second
END
FROM @base
COPY --link --chmod=600 <<END /text
inline
END
COPY --from=made /made /heredoc /heredoc2 /
COPY --exclude=*.md folder /folder
ADD --checksum=sha256:0000000000000000000000000000000000000000000000000000000000000000 link /linked
`
	// --checksum is for what comes from elsewhere; the daemon says so itself, by the line.
	w.fails(dockerfile, map[string]string{"folder/a": "A", "folder/b.md": "B", "link": "x"}, map[string]any{
		"arguments": []any{map[string]any{"name": "TOKEN", "value": "hush-hush", "isSecret": true}},
	}, "checksum")
	dockerfile = dockerfile[:strings.Index(dockerfile, "ADD ")]
	changes := map[string]any{"arguments": []any{
		map[string]any{"name": "GREETING", "value": "hello"}, map[string]any{"name": "TOKEN", "value": "hush-hush", "isSecret": true},
	}}
	context := map[string]string{"folder/a": "A", "folder/b.md": "B", "folder/ignored": "no", ".dockerignore": "**/ignored\n"}
	made, log := w.succeeds(dockerfile, context, changes)
	got := files(t, made)
	for name, want := range map[string]string{"made": "hello", "heredoc": "first", "heredoc2": "second", "text": "inline\n", "folder/a": "A"} {
		if got[name] != want {
			t.Errorf("%s holds %q, not %q", name, got[name], want)
		}
	}
	for _, name := range []string{"folder/b.md", "folder/ignored"} {
		if _, there := got[name]; there {
			t.Errorf("%s is in the image", name)
		}
	}
	for _, line := range []string{"FROM " + w.base + "@sha256:", "RUN --mount=type=cache", " one\n", " token ***\n", " DONE ", "Successfully tagged " + w.host + "/app:1", "1: digest: sha256:"} {
		if !strings.Contains(log, line) {
			t.Errorf("the log lacks %q:\n%s", line, log)
		}
	}
	config, err := made.RawConfigFile()
	w.must(err)
	if strings.Contains(log, "hush-hush") || strings.Contains(string(config), "hush-hush") {
		t.Errorf("the secret is shown:\n%s\n%s", log, config)
	}
	changes["noCache"] = true
	again, log := w.succeeds(dockerfile, context, changes)
	one, _ := made.Digest()
	two, _ := again.Digest()
	if one != two {
		t.Errorf("the digest without cache is %s, and was %s", two, one)
	}
	if strings.Contains(log, "CACHED\n") && !strings.Contains(log, "DONE") {
		t.Errorf("noCache is not heeded:\n%s", log)
	}
	changes["noCache"] = false
	if _, log = w.succeeds(dockerfile, context, changes); !strings.Contains(log, " CACHED\n") {
		t.Errorf("nothing is cached:\n%s", log)
	}
	// The secret would be part of the image's history.
	w.fails("FROM @base\nARG TOKEN\nRUN echo $TOKEN", nil, changes, "line 2", "TOKEN", "--mount=type=secret")
	// A target and an image that two names have.
	run := w.schedule("FROM @base AS one\nRUN write /one 1\nFROM one AS two\nRUN fail", nil, map[string]any{"target": "one", "imageNames": []string{"app:one", "team/other:two"}})
	if ended := w.ended(run); ended.Text("properties.status") != "Succeeded" || !strings.Contains(string(ended.Raw), "team/other") {
		t.Errorf("two names: %s\n%s", ended.Raw, w.log(run))
	}
}

// MI-11, MI-12: what the identity may not is refused by the registry through the daemon too, and told with the cure.
func TestByIdentity(t *testing.T) {
	w := newWorld(t)
	const dockerfile = "FROM @base\nRUN write /made by"
	message := w.fails(dockerfile, nil, nil, w.system, "AcrPull", w.bases, "base/shell")
	w.admin.Grant(w.system, access.RoleAcrPull, w.basesID)
	pushing := w.fails(dockerfile, nil, nil, w.system, "AcrPush", w.host, "app")
	if t.Failed() {
		t.Log(message, pushing)
	}
	w.admin.Grant(w.system, access.RoleAcrPush, w.id)
	w.succeeds(dockerfile, nil, nil)
	// Without a credential for the host, the daemon is nobody there, whatever earlier builds were given.
	w.fails(dockerfile, nil, map[string]any{"credentials": map[string]any{}, "noCache": true}, "no credential", w.bases)
	w.fails("FROM "+w.bases+"/base/absent:1", nil, nil, "base/absent")
}

// A command of a build has no network unless the operator allows it, and the daemon fetches nothing either.
func TestNoNetwork(t *testing.T) {
	w := newWorld(t).trusted()
	_, log := w.succeeds("FROM @base\nRUN dial "+w.host, nil, nil)
	if !strings.Contains(log, "not connected") {
		t.Errorf("RUN has a network:\n%s", log)
	}
	w.fails("FROM @base\nADD https://"+w.host+"/v2/ /x", nil, nil, "--build-network")
	w.fails("FROM @base\nADD git://"+w.host+"/x.git /x", nil, nil, "--build-network")
	for _, run := range []string{"--network=host", "--security=insecure"} {
		w.fails("FROM @base\nRUN "+run+" dial "+w.host, nil, nil, "rights")
	}
}

// What a build may read is its context, wherever links point: the context is the root of what they mean.
func TestContext(t *testing.T) {
	w := newWorld(t).trusted()
	context := map[string]string{
		"a": "A", "in/b": "B", "etc/hostname": "ours", "out": "link:/etc/hostname", "up": "link:../../../../etc", "dir": "link:/in",
		"gone": "link:/etc/passwd", "all/passwd": "link:/etc/passwd", "loop": "link:loop",
	}
	made, _ := w.succeeds("FROM @base\nCOPY a out /\nCOPY up/hostname /up\nCOPY dir/b /b\nCOPY all /all", context, nil)
	if got := files(t, made); len(got) != 4 || got["a"] != "A" || got["out"] != "ours" || got["up"] != "ours" || got["b"] != "B" {
		t.Errorf("the image holds %q", got)
	}
	for _, name := range []string{"gone", "up/passwd", "all/../../etc/passwd", "/etc/passwd", "loop"} {
		w.fails("FROM @base\nCOPY "+name+" /x", context, nil)
	}
}

// A build that is canceled ends at the daemon, and what it ran ends with it.
func TestCancel(t *testing.T) {
	w := newWorld(t).trusted()
	run := w.schedule("FROM @base\nRUN echo begun && sleep", nil, nil)
	w.until("the command runs", func() bool { return strings.Contains(w.log(run), "begun\n") })
	if len(commands(t)) == 0 {
		t.Fatal("the command is not seen")
	}
	w.do("POST", run+"/cancel", nil)
	if got := w.ended(run); got.Text("properties.status") != "Canceled" {
		t.Errorf("the run ended %s", got.Raw)
	}
	w.until("the command is gone", func() bool { return len(commands(t)) == 0 })
}

// A daemon that is lost, or is not there, is no fault of the build: the run's job repeats it, and it goes on when the daemon is back.
func TestLostDaemon(t *testing.T) {
	w := newWorld(t).trusted()
	run := w.schedule("FROM @base\nRUN echo begun && sleep\n", nil, nil)
	w.until("the command runs", func() bool { return strings.Contains(w.log(run), "begun\n") })
	w.daemon.kill()
	for _, command := range commands(t) {
		_ = syscall.Kill(command, syscall.SIGKILL) // nobody watches over it any more
	}
	w.until("the attempt is given up", func() bool { return strings.Contains(w.log(run), "will be repeated") })
	w.do("POST", run+"/cancel", nil)
	w.ended(run)
	w.daemon.stop()
	run = w.schedule("FROM @base\nRUN echo there", nil, nil)
	w.until("the attempt is given up", func() bool { return strings.Contains(w.log(run), "will be repeated") })
	w.daemon.start(w.env.Server.Endpoints.CAFile, w.host, w.bases)
	if got := w.ended(run); got.Text("properties.status") != "Succeeded" {
		t.Errorf("the run ended %s\n%s", got.Raw, w.log(run))
	}
}

// The daemon keeps no record of a build, and one that does not know the registry's authority is told of by its operator's word.
func TestOperatorsPart(t *testing.T) {
	w := newWorld(t).trusted()
	w.succeeds("FROM @base\nRUN echo once", nil, nil)
	records, err := w.daemon.ask().ControlClient().ListenBuildHistory(t.Context(), &control.BuildHistoryRequest{EarlyExit: true})
	w.must(err)
	if record, err := records.Recv(); !errors.Is(err, io.EOF) {
		t.Errorf("the daemon remembers %v (%v)", record, err)
	}
	w.daemon.stop()
	w.daemon.start(w.env.Server.Endpoints.CAFile)
	w.fails("FROM @base\nRUN echo twice", nil, map[string]any{"noCache": true}, "buildkitd.toml", "http = false")
}

func (w *world) until(what string, is func() bool) {
	w.t.Helper()
	for end := time.Now().Add(30 * time.Second); !is(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			w.t.Fatalf("not in time: %s", what)
		}
	}
}

// commands are the processes of the build's command.
func commands(t *testing.T) (all []int) {
	t.Helper()
	names, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if text, err := os.ReadFile(name); err == nil && string(text) == "/bin/sh\x00-c\x00echo begun && sleep\x00" {
			id, err := strconv.Atoi(filepath.Base(filepath.Dir(name)))
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, id)
		}
	}
	return all
}
