package bench

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/alvara-ml/alvara/cli/profile"
)

// server is a server in a process of its own, started as users start it.
type server struct {
	b      *run
	dir    string
	cmd    *exec.Cmd
	ended  chan error
	stderr *os.File
	ready  Cost // from the start of the process to its line
}

// serve starts a server in a folder and returns when it says that it is ready.
func (b *run) serve(ctx context.Context, dir string) (*server, error) {
	if _, err := cpuOf(os.Getpid()); err != nil {
		return nil, err
	}
	command := b.program("serve", "--data", dir, "--log-level", "warn")
	s := &server{b: b, dir: dir, cmd: exec.CommandContext(ctx, command[0], command[1:]...), ended: make(chan error, 1)}
	s.cmd.Dir, s.cmd.Env = b.dir, b.env()
	s.cmd.Cancel = func() error { return s.cmd.Process.Signal(syscall.SIGTERM) }
	var err error
	if s.stderr, err = os.Create(dir + ".log"); err != nil {
		return nil, err
	}
	s.cmd.Stderr = s.stderr
	stdout, err := s.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	began := time.Now()
	if err := s.cmd.Start(); err != nil {
		return nil, err
	}
	line, err := bufio.NewReader(stdout).ReadString('\n')
	wall := time.Since(began)
	if err != nil {
		return nil, fmt.Errorf("the server does not start: %w: %s", errors.Join(s.cmd.Wait(), err), s.log())
	}
	cpu, err := cpuOf(s.cmd.Process.Pid)
	if err != nil {
		return nil, errors.Join(err, s.cmd.Process.Kill())
	}
	go func() {
		_, _ = io.Copy(io.Discard, stdout) // nothing more is expected
		s.ended <- s.cmd.Wait()
	}()
	resident, err := residentOf(s.cmd.Process.Pid)
	s.ready = Cost{Wall: wall.Seconds(), CPU: cpu.Seconds(), Peak: float64(resident) / mebibyte}
	if err == nil && !strings.HasPrefix(line, "https://") {
		err = fmt.Errorf("the server's first line is %q; its address was expected", line)
	}
	if err != nil {
		return nil, errors.Join(err, s.stop())
	}
	return s, nil
}

func (b *run) env() []string {
	return append(os.Environ(), "ALVARA_CONFIG_DIR="+filepath.Join(b.dir, "config"))
}

func (s *server) log() string {
	text, _ := os.ReadFile(s.dir + ".log") // for a message that has its reason already
	return string(text)
}

// stop ends the server and waits for it.
func (s *server) stop() error {
	defer func() { _ = s.stderr.Close() }() // the process wrote it
	early := s.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case err := <-s.ended:
		if err = errors.Join(err, early); err != nil {
			return fmt.Errorf("the server ended badly: %w: %s", err, s.log())
		}
		return nil
	case <-time.After(time.Minute):
		return errors.Join(errors.New("the server does not end"), s.cmd.Process.Kill())
	}
}

// cpu is what the server and the processes that it ran to the end have used so far, in seconds.
func (s *server) cpu() (float64, error) {
	used, err := cpuOf(s.cmd.Process.Pid)
	return used.Seconds(), err
}

// watch samples the memory of the server and its processes until the function that it gives is called, which tells the
// largest sum in MiB.
func (s *server) watch() func() float64 {
	done, result := make(chan struct{}), make(chan float64)
	go func() {
		tick := time.NewTicker(200 * time.Millisecond)
		defer tick.Stop()
		var most int64
		for {
			if now, err := residentOf(s.cmd.Process.Pid); err == nil {
				most = max(most, now)
			}
			select {
			case <-done:
				result <- float64(most) / mebibyte
				return
			case <-tick.C:
			}
		}
	}()
	return func() float64 {
		close(done)
		return <-result
	}
}

// command runs one command line as the signed-in administrator and gives what it prints, without the newline.
func (b *run) command(ctx context.Context, args ...string) (string, error) {
	command := b.program(args...)
	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	cmd.Dir, cmd.Env = b.dir, b.env()
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("alvara %s: %w: %s", strings.Join(args, " "), err, stderr.String())
	}
	return strings.TrimSpace(string(out)), nil
}

// commands runs command lines one after the other.
func (b *run) commands(ctx context.Context, lines ...[]string) error {
	for _, line := range lines {
		if _, err := b.command(ctx, append(line, "-o", "none")...); err != nil {
			return err
		}
	}
	return nil
}

const (
	group   = "bench"
	account = "benchsource"
	store   = "features"
)

// featureStore is a feature store on a running server, with an account for sources that its materialization identity reads.
type featureStore struct {
	*server
	id        string
	endpoints profile.Endpoints
	token     string // of the administrator, for the plane of feature values
}

// featureStore makes a server with a feature store and signs in.
func (b *run) featureStore(ctx context.Context) (_ *featureStore, err error) {
	dir := filepath.Join(b.dir, "data")
	s, err := b.serve(ctx, dir)
	if err != nil {
		return nil, err
	}
	f := &featureStore{server: s}
	defer func() {
		if err != nil {
			_ = s.stop() // the reason matters more
		}
	}()
	if f.endpoints, err = profile.ReadEndpoints(dir); err != nil {
		return nil, err
	}
	entity := filepath.Join(b.dir, "entity.yaml")
	if err := os.WriteFile(entity, []byte("name: entity\nversion: \"1\"\nindex_columns:\n  - {name: k, type: long}\n"), 0o600); err != nil {
		return nil, err
	}
	err = b.commands(ctx,
		[]string{"login", "--local", "--data", dir},
		[]string{"group", "create", "-n", group, "-l", "local"},
		[]string{"storage", "account", "create", "-n", account, "-g", group, "-l", "local"},
		[]string{"ml", "feature-store", "create", "-n", store, "-g", group, "-l", "local"},
		[]string{"ml", "feature-store-entity", "create", "-f", entity, "--feature-store", store, "-g", group},
	)
	if err != nil {
		return nil, err
	}
	me, err := b.command(ctx, "ad", "signed-in-user", "show", "--query", "id", "-o", "tsv")
	if err != nil {
		return nil, err
	}
	text, err := b.command(ctx, "ml", "feature-store", "show", "-n", store, "-g", group, "-o", "json")
	if err != nil {
		return nil, err
	}
	var shown struct {
		ID           string `json:"id"`
		OfflineStore struct {
			Target string `json:"target"`
		} `json:"offline_store"`
		Identity struct {
			Principal string `json:"principal_id"`
		} `json:"materialization_identity"`
	}
	if err := json.Unmarshal([]byte(text), &shown); err != nil {
		return nil, err
	}
	f.id = shown.ID
	source, err := b.command(ctx, "storage", "account", "show", "-n", account, "-g", group, "--query", "id", "-o", "tsv")
	if err != nil {
		return nil, err
	}
	err = b.commands(ctx,
		[]string{"role", "assignment", "create", "--assignee", me, "--role", "Storage Blob Data Contributor", "--scope", source},
		[]string{"role", "assignment", "create", "--assignee", me, "--role", "Storage Blob Data Reader", "--scope", shown.OfflineStore.Target},
		[]string{"role", "assignment", "create", "--assignee", shown.Identity.Principal, "--role", "Storage Blob Data Reader", "--scope", source},
		[]string{"storage", "container", "create", "-n", "source", "--account-name", account},
	)
	if err != nil {
		return nil, err
	}
	f.token, err = b.command(ctx, "account", "get-access-token", "--resource", "https://ml.azure.com", "--query", "accessToken", "-o", "tsv")
	return f, err
}

// register uploads a source file and registers a feature set over it; specification is FeatureSetSpec.yaml without its source.
func (f *featureStore) register(ctx context.Context, name, file, specification string) error {
	b := f.b
	blob := name + ".parquet"
	folder := filepath.Join(b.dir, name)
	if err := os.MkdirAll(filepath.Join(folder, "spec"), 0o700); err != nil {
		return err
	}
	for path, text := range map[string]string{
		"set.yaml": fmt.Sprintf("name: %s\nversion: \"1\"\nspecification: {path: ./spec}\nentities: [\"azureml:entity:1\"]\nstage: Development\n"+
			"materialization_settings: {offline_enabled: true, online_enabled: true}\n", name),
		"spec/FeatureSetSpec.yaml": fmt.Sprintf("source:\n  type: parquet\n  path: wasbs://source@%s.blob.core.windows.net/%s\n  timestamp_column: {name: ts}\n%s", account, blob, specification),
	} {
		if err := os.WriteFile(filepath.Join(folder, path), []byte(text), 0o600); err != nil {
			return err
		}
	}
	return b.commands(ctx,
		[]string{"storage", "blob", "upload", "--account-name", account, "-c", "source", "-n", blob, "-f", file},
		[]string{"ml", "feature-set", "create", "-f", filepath.Join(folder, "set.yaml"), "--feature-store", store, "-g", group},
	)
}

// backfill materializes a window, also where it is materialized already, and waits for the end.
func (f *featureStore) backfill(ctx context.Context, name, start, end string) error {
	return f.b.commands(ctx, []string{"ml", "feature-set", "backfill", "-n", name, "-v", "1", "--feature-window-start-time", start,
		"--feature-window-end-time", end, "--data-status", "None", "Incomplete", "Complete", "--feature-store", store, "-g", group, "--wait"})
}
