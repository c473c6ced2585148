package bench

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"
)

// transfer is one large body over HTTP, of which only the wall time of the transfer itself is counted.
type transfer struct {
	URL, CAFile, Token string
	Bytes              int64
	Seed               uint64 // of what is pushed
	Push               bool   // push to URL, which starts an upload; otherwise fetch it
}

type transferred struct {
	Wall   float64
	Digest string
}

// content is what is pushed: as random as a compressed layer, different for each seed, and quickly made.
func content(size int64, seed uint64) []byte {
	text := make([]byte, size)
	source := rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8), byte(seed >> 16), 6})
	_, _ = source.Read(text) // never fails
	return text
}

func (t transfer) client() (*http.Client, error) {
	transport := &http.Transport{DisableCompression: true, WriteBufferSize: 256 << 10, ReadBufferSize: 256 << 10}
	if t.CAFile != "" {
		text, err := os.ReadFile(t.CAFile)
		if err != nil {
			return nil, err
		}
		pool := x509.NewCertPool()
		pool.AppendCertsFromPEM(text)
		transport.TLSClientConfig = &tls.Config{RootCAs: pool}
	}
	return &http.Client{Transport: transport}, nil
}

// carry carries a transfer out.
func carry(ctx context.Context, t transfer) (transferred, error) {
	client, err := t.client()
	if err != nil {
		return transferred{}, err
	}
	if t.Push {
		return t.push(ctx, client)
	}
	began := time.Now()
	response, err := t.send(ctx, client, http.MethodGet, t.URL, nil, http.StatusOK)
	if err != nil {
		return transferred{}, err
	}
	n, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, response.Body, make([]byte, 1<<20))
	_ = response.Body.Close() // read to its end
	if err == nil && n != t.Bytes {
		err = fmt.Errorf("%d bytes came, %d were expected", n, t.Bytes)
	}
	return transferred{Wall: time.Since(began).Seconds()}, err
}

func (t transfer) push(ctx context.Context, client *http.Client) (transferred, error) {
	text := content(t.Bytes, t.Seed)
	sum := sha256.Sum256(text)
	digest := "sha256:" + hex.EncodeToString(sum[:])
	began := time.Now()
	response, err := t.send(ctx, client, http.MethodPost, t.URL, nil, http.StatusAccepted)
	if err != nil {
		return transferred{}, err
	}
	_ = response.Body.Close() // empty
	location, err := response.Location()
	if err != nil {
		return transferred{}, err
	}
	query := location.Query()
	query.Set("digest", digest)
	location.RawQuery = query.Encode()
	response, err = t.send(ctx, client, http.MethodPut, location.String(), text, http.StatusCreated)
	if err != nil {
		return transferred{}, err
	}
	_ = response.Body.Close() // empty
	return transferred{Wall: time.Since(began).Seconds(), Digest: digest}, nil
}

func (t transfer) send(ctx context.Context, client *http.Client, method, address string, body []byte, want int) (*http.Response, error) {
	request, err := http.NewRequestWithContext(ctx, method, address, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	if body != nil {
		request.Header.Set("Content-Type", "application/octet-stream")
	}
	if t.Token != "" {
		request.Header.Set("Authorization", "Bearer "+t.Token)
	}
	response, err := client.Do(request)
	if err != nil {
		return nil, err
	}
	if response.StatusCode != want {
		text, _ := io.ReadAll(io.LimitReader(response.Body, 1000)) // for a message that has its reason already
		_ = response.Body.Close()
		return nil, fmt.Errorf("%s: %s: %s", method, response.Status, text)
	}
	return response, nil
}

// hashing is the limit of pushes: SHA-256 of as many bytes that are in memory.
func hashing(_ context.Context, size int64) (Cost, error) {
	text := content(size, 1)
	return timed(func() error {
		_ = sha256.Sum256(text)
		return nil
	})
}

// filePlan says which file a server of one file has, and where its certificate goes; without TLS it has none.
type filePlan struct{ Path, CAFile string }

// fileServer is the limit of pulls: net/http and one file, which goes by sendfile where there is no TLS. It ends when its
// input does.
func fileServer(_ context.Context, stdin io.Reader, stdout io.Writer) error {
	var plan filePlan
	if err := json.NewDecoder(stdin).Decode(&plan); err != nil {
		return err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	address := url.URL{Scheme: "http", Host: listener.Addr().String(), Path: "/"}
	if plan.CAFile != "" {
		certificate, err := selfSigned(plan.CAFile)
		if err != nil {
			return err
		}
		address.Scheme = "https"
		listener = tls.NewListener(listener, &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12})
	}
	server := &http.Server{ReadHeaderTimeout: 10 * time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		file, err := os.Open(plan.Path)
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		defer func() { _ = file.Close() }() // only read
		w.Header().Set("Content-Type", "application/octet-stream")
		http.ServeContent(w, r, "", time.Time{}, file)
	})}
	go func() { _ = server.Serve(listener) }() // ends with the process
	if err := json.NewEncoder(stdout).Encode(strings.TrimSuffix(address.String(), "/")); err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, stdin)
	return err
}
