package testenv

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/alvara-ml/alvara/app"
)

// serveVariable makes the test binary a server of the folder that it names.
const serveVariable = "ALVARA_TEST_SERVE"

const readyLine = "ready"

// serve runs a server until the process is killed.
func serve(dir string) int {
	if _, err := app.Open(context.Background(), app.Config{DataDir: dir}); err != nil {
		fmt.Println(err)
		return 1
	}
	fmt.Println(readyLine)
	select {}
}

// Child is a server in a process of its own, for tests that kill it.
type Child struct {
	Env *Env
	cmd *exec.Cmd
}

// StartChild runs a server of a folder in a process of its own and waits until it is ready.
func StartChild(t testing.TB, dir string) *Child {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), serveVariable+"="+dir)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var faults strings.Builder
	cmd.Stderr = &faults
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	child := &Child{cmd: cmd}
	t.Cleanup(child.Kill)
	line, err := bufio.NewReader(out).ReadString('\n')
	if strings.TrimSpace(line) != readyLine {
		t.Fatalf("the server does not start: %s %v\n%s", line, err, faults.String())
	}
	endpoints, err := app.ReadEndpoints(dir)
	if err != nil {
		t.Fatal(err)
	}
	pem, err := os.ReadFile(filepath.Join(dir, "tls", "ca.pem"))
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pem)
	child.Env = &Env{t: t, Server: &app.Server{Endpoints: endpoints}, Dir: dir, HTTP: &http.Client{
		Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}, Timeout: time.Minute}}
	return child
}

// Kill ends the server at once, as a power failure of the process would, and waits until it is gone.
func (c *Child) Kill() {
	if c.cmd.ProcessState != nil {
		return
	}
	_ = c.cmd.Process.Kill() // gone already, or going now
	_ = c.cmd.Wait()         // killed, as was wanted
	if c.Env != nil {
		c.Env.HTTP.CloseIdleConnections()
	}
}

// Try is Do that gives an error when the server goes away, and that waits for nothing.
func (u *User) Try(method, path string, body any) (Answer, error) {
	address := u.env.Server.Endpoints.ResourceManager + path
	if !strings.Contains(path, "api-version=") {
		address += "?api-version=2024-04-01"
	}
	return u.try(context.Background(), method, address, managementAudience, body)
}
