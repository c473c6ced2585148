package launch_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/alvara-ml/alvara/job"
)

// A run has a copy of its own of the authorities that it trusts: the launcher's file may be written anew while the run begins.
func TestOwnAuthorities(t *testing.T) {
	both(t, func(t *testing.T, w *world) {
		order := w.order()
		ca := w.at(order, "ca.pem")
		order.Command = w.order("cat "+ca, "env").Command
		run, status, said := w.run(order)
		if status.State != job.Completed || !strings.HasPrefix(said, "authorities") || !strings.Contains(said, "SSL_CERT_FILE="+ca+"\n") {
			t.Errorf("%+v\n%s", status, said)
		}
		spec, err := run.Spec()
		w.must(err)
		own := filepath.Join(w.dir, "files", order.ID)
		for _, mount := range spec.Mounts {
			if !strings.HasPrefix(mount.Source, own+"/") {
				t.Errorf("the run depends on %s, which is not its own", mount.Source)
			}
		}
		w.must(run.Release())
		if _, err := os.Stat(filepath.Join(own, "ca.pem")); !os.IsNotExist(err) {
			t.Errorf("a released run has authorities: %v", err)
		}
	})
}
