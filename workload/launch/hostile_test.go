package launch_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/alvara-ml/alvara/job"
	"github.com/alvara-ml/alvara/resource"
	"github.com/alvara-ml/alvara/workload"
)

// Whatever a run leaves in its folders, nothing outside of them is read or removed, nobody waits for it, and what is proper is kept.
func TestHostile(t *testing.T) {
	both(t, func(t *testing.T, w *world) {
		secret := filepath.Join(w.dir, "outside", "secret")
		w.must(os.MkdirAll(filepath.Dir(secret), 0o755))
		w.must(os.WriteFile(secret, []byte("secret"), 0o644))
		count := "5000"
		if testing.Short() {
			count = "2000"
		}
		order := w.order()
		out := []string{"good", "swapped", "pipe"}
		for _, name := range out {
			order.Outputs = append(order.Outputs, workload.File{Name: name, Account: "a", Container: "c", Path: "out/" + name, Folder: true})
		}
		order.Outputs = append(order.Outputs, workload.File{Name: "file", Account: "a", Container: "c", Path: "out/file"})
		model, artifacts := w.at(order, "outputs/good"), w.at(order, "code/outputs")
		order.Command = w.order("write "+model+"/kept x", "link "+secret+" "+model+"/link", "link "+filepath.Dir(secret)+" "+model+"/folder", "fifo "+model+"/pipe", "link . "+model+"/loop",
			"write "+model+"/bad\xff name", "deep "+model+" 300", "mode "+model+"/kept 0000",
			"swap "+filepath.Dir(secret)+" "+w.at(order, "outputs/swapped"), "fifo "+w.at(order, "outputs/pipe"), "link "+secret+" "+w.at(order, "outputs/file"),
			"link "+secret+" "+artifacts+"/link", "link "+filepath.Dir(secret)+" "+artifacts+"/folder", "fifo "+artifacts+"/pipe", "many "+artifacts+" "+count,
			"link "+secret+" "+w.at(order, "run/metrics.jsonl")).Command
		run, status, said := w.run(order)
		if status.State != job.Completed {
			t.Fatalf("%+v %s", status, said)
		}
		var told []string
		w.must(run.Deliver(t.Context(), func(line string) { told = append(told, line) }))
		for _, want := range []string{`"link" is not written`, `"pipe" is not written`, `"folder"`, "UTF-8", "output swapped is not written", "output pipe is not written", "output file is not written"} {
			if !strings.Contains(strings.Join(told, "\n"), want) {
				t.Errorf("nobody is told %q: %s", want, strings.Join(told, "\n"))
			}
		}
		if len(told) > 40 {
			t.Errorf("%d lines are told", len(told))
		}
		if got, ok := w.files.has("out/good/kept"); !ok || got != "x" {
			t.Errorf("%q %v", got, ok)
		}
		for path, content := range w.files.content {
			if strings.Contains(string(content), "secret") {
				t.Errorf("%s was read from outside", path)
			}
		}
		found, err := run.Artifacts()
		if want := map[bool]int{true: 2000, false: 5000}[testing.Short()]; err != nil || len(found) != want {
			t.Errorf("%d artifacts, want %d (%v)", len(found), want, err)
		}
		for _, name := range []string{"link", "folder/secret", "pipe", "../../outputs/good/kept", "/etc/passwd", "."} {
			file, err := run.OpenArtifact(name)
			if isKind(t, err, resource.NotFound); err == nil {
				_ = file.Close()
				t.Errorf("%s was opened", name)
			}
		}
		var metrics strings.Builder
		if _, err := run.Metrics(0, &metrics); err != nil || metrics.Len() > 0 {
			t.Errorf("%q %v", &metrics, err)
		}
		w.must(run.Release())
		w.must(w.launcher.Forget(order.ID))
		if _, err := os.Stat(filepath.Join(w.dir, "files", order.ID)); !os.IsNotExist(err) {
			t.Errorf("the files are still there: %v", err)
		}
		if text, err := os.ReadFile(secret); err != nil || string(text) != "secret" {
			t.Errorf("what is outside was touched: %q %v", text, err)
		}
	})
}

// The folder of artifacts itself may be something else in the end.
func TestSwappedArtifacts(t *testing.T) {
	both(t, func(t *testing.T, w *world) {
		secret := filepath.Join(w.dir, "outside", "secret")
		w.must(os.MkdirAll(filepath.Dir(secret), 0o755))
		w.must(os.WriteFile(secret, []byte("secret"), 0o644))
		order := w.order()
		order.Command = w.order("swap " + filepath.Dir(secret) + " " + w.at(order, "code/outputs")).Command
		run, status, said := w.run(order)
		if status.State != job.Completed {
			t.Fatalf("%+v %s", status, said)
		}
		if found, err := run.Artifacts(); err != nil || len(found) > 0 {
			t.Errorf("%v %v", found, err)
		}
		_, err := run.OpenArtifact("secret")
		isKind(t, err, resource.NotFound)
		w.must(run.Release())
		w.must(w.launcher.Forget(order.ID))
		if _, err := os.Stat(secret); err != nil {
			t.Error(err)
		}
	})
}

// All of it works for an ordinary user too, as far as the machine allows.
func TestOrdinaryUser(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root's rights, to become somebody else")
	}
	const nobody = 65534
	home, err := os.MkdirTemp("", "ordinary")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(home) })
	for _, err := range []error{os.Chmod(home, 0o755), os.Chown(home, nobody, nobody)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	content, err := os.ReadFile(probe)
	if err != nil {
		t.Fatal(err)
	}
	mine := filepath.Join(home, "probe")
	if err := os.WriteFile(mine, content, 0o755); err != nil {
		t.Fatal(err)
	}
	command := exec.Command("/proc/self/exe", "-test.v", "-test.timeout=100s", "-test.short",
		"-test.run=^(TestFiles|TestOnce|TestPull|TestImageConfiguration|TestTokens|TestAdopted|TestNetwork|TestServing|TestHostile)$")
	command.Dir = "/"
	command.Env = []string{"TMPDIR=" + home, envProbe + "=" + mine, "PATH=" + os.Getenv("PATH")}
	command.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	output, err := command.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, output)
	}
	if strings.Count(string(output), "--- PASS: ") < 12 {
		t.Errorf("hardly anything ran:\n%s", output)
	}
}
