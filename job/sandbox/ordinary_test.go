//go:build linux

package sandbox

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// All of it works for an ordinary user too, as far as the machine allows; only what is named needs root's rights.
func TestOrdinaryUser(t *testing.T) {
	needRoot(t)
	const nobody = 65534
	home, err := os.MkdirTemp("", "ordinary")
	must(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(home) })
	must(t, os.Chmod(home, 0o755))
	must(t, os.Chown(home, nobody, nobody))
	copied, err := os.ReadFile(probe)
	must(t, err)
	mine := filepath.Join(home, "probe")
	must(t, os.WriteFile(mine, copied, 0o755))
	command := exec.Command("/proc/self/exe", "-test.v", "-test.timeout=100s", "-test.short", "-test.run="+
		"^(TestExitStatus|TestStreams|TestEnd|TestForbidden|TestNet|TestNetRefused|TestSeesNothing.*|TestNetwork|TestFiles|TestInvalid|TestMemoryLimit|TestUserThatIsNot|TestZombies|TestKilledCaller|TestNothingIsLeft|TestSameIDTwice|TestCheck)$")
	command.Dir = "/"
	command.Env = []string{"TMPDIR=" + home, envProbe + "=" + mine, "PATH=" + os.Getenv("PATH")}
	command.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	output, err := command.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, output)
	}
	if passed := strings.Count(string(output), "--- PASS: "); passed < 12 {
		t.Skipf("an ordinary user cannot run sandboxes here:\n%s", output)
	}
}
