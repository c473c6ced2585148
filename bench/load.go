package bench

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// loadPlan is what a client is to send. Requests are due at an even rate; how long one took is counted from then, so that a
// server that stops for a while is charged with every request that waits.
type loadPlan struct {
	URL, CAFile, Token string
	Bodies             []string
	Rate, Requests     int
	Connections        int
}

// loadReport is what the client saw, in seconds.
type loadReport struct{ Wall, P50, P99 float64 }

func newCommand(ctx context.Context, command []string) *exec.Cmd {
	return exec.CommandContext(ctx, command[0], command[1:]...)
}

func (p loadPlan) client() (*http.Client, error) {
	text, err := os.ReadFile(p.CAFile)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(text)
	return &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: pool}, MaxIdleConnsPerHost: p.Connections, MaxConnsPerHost: p.Connections, DisableCompression: true,
	}}, nil
}

func (p loadPlan) request(ctx context.Context, i int) (*http.Request, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, p.URL, strings.NewReader(p.Bodies[i%len(p.Bodies)]))
	if err == nil {
		request.Header.Set("Authorization", "Bearer "+p.Token)
		request.Header.Set("Content-Type", "application/json")
	}
	return request, err
}

// load carries a plan out.
func load(ctx context.Context, p loadPlan) (loadReport, error) {
	client, err := p.client()
	if err != nil {
		return loadReport{}, err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	took := make([]float64, p.Requests)
	var next atomic.Int64
	var wait sync.WaitGroup
	began := time.Now()
	for range p.Connections {
		wait.Go(func() {
			for {
				i := int(next.Add(1)) - 1
				if i >= p.Requests || ctx.Err() != nil {
					return
				}
				due := began.Add(time.Duration(i) * time.Second / time.Duration(p.Rate))
				time.Sleep(time.Until(due))
				if err := p.send(ctx, client, i); err != nil {
					cancel(err)
					return
				}
				took[i] = time.Since(due).Seconds()
			}
		})
	}
	wait.Wait()
	if err := context.Cause(ctx); err != nil {
		return loadReport{}, err
	}
	wall := time.Since(began).Seconds()
	slices.Sort(took)
	return loadReport{Wall: wall, P50: took[len(took)/2], P99: took[len(took)*99/100]}, nil
}

func (p loadPlan) send(ctx context.Context, client *http.Client, i int) error {
	request, err := p.request(ctx, i)
	if err != nil {
		return err
	}
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, response.Body)
	_ = response.Body.Close() // read to its end
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("a request was answered with %s", response.Status)
	}
	return err
}
