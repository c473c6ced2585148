package registry

import (
	"encoding/pem"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/crane"
	"github.com/google/go-containerregistry/pkg/v1/random"
)

// MI-08: skopeo, and with it podman and buildah, whose library it is, copies, inspects, lists and deletes, by role; what is
// refused says why.
func TestSkopeo(t *testing.T) {
	if testing.Short() {
		t.Skip("a client of its own")
	}
	program, err := exec.LookPath("skopeo")
	if err != nil {
		t.Skip("skopeo is not installed")
	}
	w := newWorld(t)
	host := w.catalog.registries["alpha"].LoginServer
	certificates := t.TempDir()
	pemCertificate := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: w.http["alpha"].Certificate().Raw})
	if err := os.WriteFile(filepath.Join(certificates, "ca.crt"), pemCertificate, 0o600); err != nil {
		t.Fatal(err)
	}
	w.grant("pusher", "AcrPush", alpha())
	w.grant("puller", "AcrPull", alpha())
	w.grant("deleter", "AcrDelete", alpha())
	w.grant("deleter", "AcrPull", alpha())
	image, err := random.Image(10_000, 2)
	if err != nil {
		t.Fatal(err)
	}
	if err := crane.Push(image, host+"/team/app:v1", w.craneAs("pusher", true)...); err != nil {
		t.Fatal(err)
	}
	run := func(arguments ...string) (string, error) {
		command := exec.CommandContext(t.Context(), program, append([]string{"--insecure-policy"}, arguments...)...)
		command.Env = append(os.Environ(), "HOME="+t.TempDir(), "XDG_RUNTIME_DIR="+t.TempDir())
		output, err := command.CombinedOutput()
		return string(output), err
	}
	credentials := map[string]string{}
	for _, name := range []string{"pusher", "puller", "deleter", "nobody"} {
		credentials[name] = NoUser + ":" + w.refresh("alpha", name)
	}
	app, copied, folder := "docker://"+host+"/team/app:v1", "docker://"+host+"/team/copy:v1", "dir:"+t.TempDir()
	for _, c := range []struct {
		name      string
		refused   string // an action; "" when it succeeds
		arguments []string
	}{
		{"inspect", "", []string{"inspect", "--creds", credentials["puller"], "--cert-dir", certificates, app}},
		{"list tags", "", []string{"list-tags", "--creds", credentials["puller"], "--cert-dir", certificates, "docker://" + host + "/team/app"}},
		{"pull", "", []string{"copy", "--src-creds", credentials["puller"], "--src-cert-dir", certificates, app, folder}},
		{"push", "", []string{"copy", "--dest-creds", credentials["pusher"], "--dest-cert-dir", certificates, folder, copied}},
		{"copy within, with mounts", "", []string{"copy", "--src-creds", credentials["puller"], "--src-cert-dir", certificates, "--dest-creds", credentials["pusher"], "--dest-cert-dir", certificates, app, "docker://" + host + "/team/third:v1"}},
		{"push to a locked-out repository", ActionPush, []string{"copy", "--dest-creds", credentials["puller"], "--dest-cert-dir", certificates, folder, "docker://" + host + "/team/mine:v1"}},
		{"pull by nobody", ActionPull, []string{"copy", "--src-creds", credentials["nobody"], "--src-cert-dir", certificates, app, "dir:" + t.TempDir()}},
		{"delete without the role", ActionDelete, []string{"delete", "--creds", credentials["pusher"], "--cert-dir", certificates, copied}},
		{"delete", "", []string{"delete", "--creds", credentials["deleter"], "--cert-dir", certificates, copied}},
	} {
		output, err := run(c.arguments...)
		if c.refused == "" && err != nil || c.refused != "" && (err == nil || !strings.Contains(output, c.refused)) {
			t.Errorf("%s: %v\n%s", c.name, err, output)
		}
	}
	if output, err := run("inspect", "--creds", credentials["puller"], "--cert-dir", certificates, copied); err == nil || !strings.Contains(output, "manifest unknown") && !strings.Contains(output, "has no manifest") {
		t.Errorf("what is deleted is there: %v\n%s", err, output)
	}
}
