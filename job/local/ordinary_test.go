package local

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

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
	if err := os.Chmod(home, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(home, nobody, nobody); err != nil {
		t.Fatal(err)
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
		"-test.run=^(TestSuite|TestKilledServer|TestAdopt|TestKilledSupervisor)$")
	command.Dir = "/"
	command.Env = []string{"TMPDIR=" + home, envProbe + "=" + mine, "PATH=" + os.Getenv("PATH")}
	command.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	output, err := command.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, output)
	}
	if strings.Count(string(output), "--- PASS: ") < 20 {
		t.Errorf("hardly anything ran:\n%s", output)
	}
}
