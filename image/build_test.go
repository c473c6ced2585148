package image_test

import (
	"os"
	"strings"
	"testing"

	"github.com/alvara-ml/alvara/image"
)

// MI-11: a Dockerfile with several stages, arguments, copies between stages and a command becomes an image.
func TestBuild(t *testing.T) {
	w := newWorld(t)
	lastRun, asApp := "RUN id\n", "1000 1001"
	if os.Geteuid() != 0 { // an ordinary user has no other ids to give away
		lastRun, asApp = "", ""
	}
	order := w.order(`ARG FROM_BASE=nothing
FROM ${FROM_BASE} AS first
ARG GREETING=hi
ENV WHO=world
WORKDIR /work
RUN write made $GREETING $WHO && id && pwd
FROM scratch AS unused
COPY absent /
FROM ${FROM_BASE}
COPY --from=first --chown=app:staff --chmod=0640 /work/made /srv/
ADD data.tar.gz /unpacked/
COPY a.txt b.txt /texts/
COPY *.txt /all/
COPY folder /folder
USER app
LABEL a=b c="d e"
EXPOSE 80 53/udp
VOLUME /data
STOPSIGNAL SIGINT
HEALTHCHECK --interval=5s CMD true
SHELL ["/bin/sh", "-c"]
ENTRYPOINT ["/bin/sh"]
CMD ["-c", "true"]
`+lastRun, file{name: "a.txt", text: "A", mode: 0o600}, file{name: "b.txt", text: "B"}, folder("folder/"), file{name: "folder/x", text: "X"},
		file{name: "folder/link", kind: '2', link: "/etc/passwd"},
		file{name: "data.tar.gz", text: string(zipped(t, archive(t, folder("d/"), file{name: "d/f", text: "F", uid: 7})))})
	order.Arguments = []image.Argument{{Name: "FROM_BASE", Value: w.base}, {Name: "GREETING", Value: "hello"}, {Name: "NOBODY", Value: "1"}}
	made, result, log := w.must(order)
	got := files(t, made, 1)
	for name, want := range map[string]string{"srv/made": "hello world", "unpacked/d/f": "F", "texts/a.txt": "A", "texts/b.txt": "B", "all/a.txt": "A", "all/b.txt": "B", "folder/x": "X"} {
		if text(got[name]) != want {
			t.Errorf("%s holds %q, not %q", name, text(got[name]), want)
		}
	}
	if h := got["srv/made"]; h == nil || h.Uid != 1000 || h.Gid != 50 || h.Mode != 0o640 {
		t.Errorf("srv/made: %+v", h)
	}
	if h := got["unpacked/d/f"]; h == nil || h.Uid != 7 {
		t.Errorf("the owner in the archive is lost: %+v", h)
	}
	if h := got["folder/link"]; h == nil || h.Linkname != "/etc/passwd" {
		t.Errorf("a link in a folder is copied as it is: %+v", h)
	}
	for name := range got {
		if strings.HasPrefix(name, "proc") || strings.HasPrefix(name, "dev") || strings.HasPrefix(name, "sys") || strings.HasPrefix(name, "etc/resolv") {
			t.Errorf("the mount point %s is part of the image", name)
		}
	}
	config, err := made.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	c := config.Config
	if c.User != "app" || c.Labels["c"] != "d e" || c.StopSignal != "SIGINT" || len(c.ExposedPorts) != 2 || len(c.Volumes) != 1 || c.Healthcheck == nil || c.Entrypoint[0] != "/bin/sh" || c.Cmd[1] != "true" {
		t.Errorf("configuration: %+v", c)
	}
	if result.RunSteps == 0 || result.CachedSteps != 0 || len(result.Bases) != 1 || result.Bases[0].Reference != w.base || !strings.HasPrefix(result.Bases[0].Digest, "sha256:") {
		t.Errorf("result: %+v", result)
	}
	for _, line := range []string{"Step 1/", " : FROM " + w.base + " AS first", "0 0\n/work", asApp, "Successfully built", "Successfully tagged " + w.host + "/made:1", "[Warning] One or more build-args [NOBODY] were not consumed", "1: digest: " + result.Digest} {
		if !strings.Contains(log, line) {
			t.Errorf("the log lacks %q:\n%s", line, log)
		}
	}
	again, second, log := w.must(order)
	if second.RunSteps != 0 || second.CachedSteps != result.RunSteps || !strings.Contains(log, " ---> Using cache") {
		t.Errorf("the second time: %+v\n%s", second, log)
	}
	order.NoCache = true
	third, _, _ := w.must(order)
	one, _ := made.Digest()
	two, _ := again.Digest()
	three, _ := third.Digest()
	if one != two || one != three {
		t.Errorf("digests differ: %s, cached %s, without cache %s", one, two, three)
	}
}
