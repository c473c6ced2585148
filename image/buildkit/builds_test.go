package buildkit_test

import (
	"strings"
	"testing"

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

// What a build may read is its context, wherever links point.
func TestContext(t *testing.T) {
	w := newWorld(t).trusted()
	made, _ := w.succeeds("FROM @base\nCOPY a /a\nCOPY outside /outside", map[string]string{"a": "A", "outside": "link:/etc/hostname", "in/b": "B"}, nil)
	if got := files(t, made); got["a"] != "A" || got["outside"] != "" {
		t.Errorf("the image holds %q", got)
	}
	w.fails("FROM @base\nCOPY up/passwd /x", map[string]string{"up": "link:../../../../etc"}, nil, "up/passwd")
	made, _ = w.succeeds("FROM @base\nCOPY dir/b /b", map[string]string{"dir": "link:in", "in/b": "B"}, nil)
	if got := files(t, made); got["b"] != "B" {
		t.Errorf("a link in the context: %q", got)
	}
}
