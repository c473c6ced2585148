package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/alvara-ml/alvara/cli/profile"
)

const (
	registryName  = "benchregistry"
	registryBytes = 500 << 20
	repository    = "bench/layers"
)

// registry is P6: a blob of 500 MB pulled and pushed over TLS, with authorization and audit, beside a server of one file and
// beside SHA-256.
func (b *run) registry(ctx context.Context) (_ []Measurement, err error) {
	dir := filepath.Join(b.dir, "registry")
	s, err := b.serve(ctx, dir)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.stop()) }()
	endpoints, err := profile.ReadEndpoints(dir)
	if err != nil {
		return nil, err
	}
	err = b.commands(ctx,
		[]string{"login", "--local", "--data", dir},
		[]string{"group", "create", "-n", group, "-l", "local"},
		[]string{"acr", "create", "-n", registryName, "-g", group, "-l", "local", "--sku", "Premium"},
	)
	if err != nil {
		return nil, err
	}
	loginServer, err := b.command(ctx, "acr", "show", "-n", registryName, "--query", "loginServer", "-o", "tsv")
	if err != nil {
		return nil, err
	}
	refresh, err := b.command(ctx, "acr", "login", "-n", registryName, "--expose-token", "--query", "accessToken", "-o", "tsv")
	if err != nil {
		return nil, err
	}
	t := transfer{URL: "https://" + loginServer + "/v2/" + repository + "/blobs/", CAFile: endpoints.CAFile, Bytes: max(registryBytes/int64(b.Scale), 64<<20)}
	if t.Token, err = t.accessToken(ctx, loginServer, refresh); err != nil {
		return nil, err
	}
	pushed, digest, err := s.pushes(ctx, t)
	if err != nil {
		return nil, err
	}
	pulled, err := s.pulls(ctx, t, digest)
	return append(pulled, pushed), err
}

// accessToken exchanges a refresh token for one that pulls and pushes.
func (t transfer) accessToken(ctx context.Context, loginServer, refresh string) (string, error) {
	client, err := t.client()
	if err != nil {
		return "", err
	}
	form := url.Values{"grant_type": {"refresh_token"}, "service": {loginServer}, "scope": {"repository:" + repository + ":pull,push"}, "refresh_token": {refresh}}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, "https://"+loginServer+"/oauth2/token", strings.NewReader(form.Encode()))
	if err != nil {
		return "", err
	}
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	response, err := client.Do(request)
	if err != nil {
		return "", err
	}
	defer func() { _ = response.Body.Close() }() // only read
	var answer struct {
		AccessToken string `json:"access_token"`
	}
	text, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", response.Status, text)
	}
	if err != nil {
		return "", err
	}
	if err := json.Unmarshal(text, &answer); err != nil || answer.AccessToken == "" {
		return "", fmt.Errorf("the registry gave no token: %s", text)
	}
	return answer.AccessToken, nil
}

// charge carries a transfer out in a process of its own and charges a server with what it used meanwhile.
func (b *run) charge(ctx context.Context, t transfer, pid int) (Cost, transferred, error) {
	before, err := cpuOf(pid)
	if err != nil {
		return Cost{}, transferred{}, err
	}
	var report transferred
	if err := b.child(ctx, "transfer", t, &report); err != nil {
		return Cost{}, transferred{}, err
	}
	after, err := cpuOf(pid)
	if err != nil {
		return Cost{}, transferred{}, err
	}
	resident, err := residentOf(pid)
	return Cost{Wall: report.Wall, CPU: (after - before).Seconds(), Peak: float64(resident) / mebibyte}, report, err
}

func (s *server) pushes(ctx context.Context, t transfer) (Measurement, string, error) {
	b, seed, digest := s.b, uint64(0), ""
	t.URL, t.Push = t.URL+"uploads/", true
	limit, ours, err := turns(b.Rounds, func() (Cost, error) {
		var cost Cost
		err := b.child(ctx, "sha256", t.Bytes, &cost)
		return cost, err
	}, func() (Cost, error) {
		seed++
		t.Seed = seed
		cost, report, err := b.charge(ctx, t, s.cmd.Process.Pid)
		digest = report.Digest
		return cost, err
	})
	rate := func(c Cost) float64 { return float64(t.Bytes) / counted(c) / 1e9 }
	return Measurement{
		ID: "P6", Name: "registry push, bytes per second of server CPU", Ratio: rate(ours) / rate(limit), Target: "≥ 0.6 × sha256",
		Met: rate(ours) >= 0.6*rate(limit), Ours: ours, Limit: limit,
		Size: fmt.Sprintf("a blob of %d MiB over TLS; ours %.2f GB/s of CPU, sha256 %.2f GB/s", t.Bytes>>20, rate(ours), rate(limit)),
	}, digest, err
}

func (s *server) pulls(ctx context.Context, t transfer, digest string) ([]Measurement, error) {
	b := s.b
	t.URL += digest
	path := filepath.Join(b.dir, "layer")
	if err := os.WriteFile(path, content(t.Bytes, 1), 0o600); err != nil {
		return nil, err
	}
	var found []Measurement
	for _, kind := range []struct{ name, target, caFile string }{
		{"net/http and TLS", "≤ 1.2 × the same file served over TLS", filepath.Join(b.dir, "layer.pem")},
		{"sendfile", "≤ 1.2 × sendfile without TLS", ""},
	} {
		limit, err := b.startFileServer(ctx, filePlan{Path: path, CAFile: kind.caFile})
		if err != nil {
			return nil, err
		}
		plain := transfer{URL: limit.address, CAFile: kind.caFile, Bytes: t.Bytes}
		limitCost, ours, err := turns(b.Rounds, func() (Cost, error) {
			cost, _, err := b.charge(ctx, plain, limit.cmd.Process.Pid)
			return cost, err
		}, func() (Cost, error) {
			cost, _, err := b.charge(ctx, t, s.cmd.Process.Pid)
			return cost, err
		})
		limit.stop()
		if err != nil {
			return nil, err
		}
		found = append(found, Measurement{
			ID: "P6", Name: "registry pull, server CPU, against " + kind.name, Ratio: counted(ours) / counted(limitCost), Target: kind.target,
			Met: counted(ours) <= 1.2*counted(limitCost), Ours: ours, Limit: limitCost, Size: fmt.Sprintf("a blob of %d MiB over TLS", t.Bytes>>20),
		})
	}
	return found, nil
}

// counted is a cost in processor time that ratios can be made of: the system counts in hundredths of a second, and what took
// less shows as nothing.
func counted(c Cost) float64 { return max(c.CPU, 0.005) }

// startFileServer starts the limit of pulls.
func (b *run) startFileServer(ctx context.Context, plan filePlan) (*echoServer, error) {
	e := &echoServer{cmd: newCommand(ctx, b.program(childArgument, "file")), caFile: plan.CAFile}
	return e, e.start(plan)
}

// start starts the process with its plan and reads the address that it answers with.
func (e *echoServer) start(plan any) error {
	text, err := json.Marshal(plan)
	if err != nil {
		return err
	}
	if e.stdin, err = e.cmd.StdinPipe(); err != nil {
		return err
	}
	stdout, err := e.cmd.StdoutPipe()
	if err != nil {
		return err
	}
	e.cmd.Stderr = os.Stderr
	if err := e.cmd.Start(); err != nil {
		return err
	}
	if _, err := e.stdin.Write(append(text, '\n')); err != nil {
		return err
	}
	timer := time.AfterFunc(30*time.Second, func() { _ = e.cmd.Process.Kill() }) // then the decoder fails
	defer timer.Stop()
	return json.NewDecoder(stdout).Decode(&e.address)
}
