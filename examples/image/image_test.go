package image_test

import (
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/alvara-ml/alvara/examples/image"
)

func TestCopy(t *testing.T) {
	dir := t.TempDir()
	if err := image.Copy(dir); err != nil {
		t.Fatal(err)
	}
	// What the first stage of the Dockerfile computes, by hand.
	folder := filepath.Join(dir, "score")
	table := exec.Command("/bin/sh", "-c", `while IFS=, read -r country limit; do echo "$country $((limit * 2))"; done < limits.csv > table`)
	table.Dir = folder
	if out, err := table.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for amount, want := range map[string]string{"2400": "fine\n", "2401": "suspicious\n"} {
		if out, err := exec.Command("/bin/sh", filepath.Join(folder, "score.sh"), "PT", amount).Output(); err != nil || string(out) != want {
			t.Errorf("%s: %q %v", amount, out, err)
		}
	}
}

func TestShell(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("images are made of Linux programs")
	}
	dir := filepath.Join(t.TempDir(), "shell")
	for range 2 { // a second time over the first
		if err := image.Shell(dir); err != nil {
			t.Fatal(err)
		}
	}
	libraries, err := filepath.Glob(filepath.Join(dir, "rootfs", "*", "*"))
	if err != nil || len(libraries) == 0 {
		t.Fatalf("nothing below rootfs: %v", err)
	}
	for _, path := range []string{"Dockerfile", "rootfs/bin/sh", "rootfs/tmp"} {
		if matches, err := filepath.Glob(filepath.Join(dir, path)); err != nil || len(matches) != 1 {
			t.Errorf("%s is missing: %v", path, err)
		}
	}
}
