package bench

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"time"
)

// echoPlan says how many bytes every answer has, and where the certificate goes.
type echoPlan struct {
	Bytes  int
	CAFile string
}

// echoServer is an echo that runs.
type echoServer struct {
	cmd             *exec.Cmd
	stdin           io.WriteCloser
	address, caFile string
}

func (e *echoServer) stop() {
	_ = e.stdin.Close() // that is its sign to end
	_ = e.cmd.Wait()    // what it says at the end matters to nobody
}

// echo serves net/http over TLS with a certificate of the server's kind: it reads the request and answers as many bytes as
// it was told. It ends when its input does.
func echo(_ context.Context, stdin io.Reader, stdout io.Writer) error {
	decoder := json.NewDecoder(stdin)
	var plan echoPlan
	if err := decoder.Decode(&plan); err != nil {
		return err
	}
	certificate, err := selfSigned(plan.CAFile)
	if err != nil {
		return err
	}
	answer := bytes.Repeat([]byte("x"), plan.Bytes)
	listener, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12})
	if err != nil {
		return err
	}
	server := &http.Server{ReadHeaderTimeout: 10 * time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, err := io.ReadAll(r.Body); err != nil {
			return // the client has gone away
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(answer) // likewise
	})}
	go func() { _ = server.Serve(listener) }() // ends with the process
	if err := json.NewEncoder(stdout).Encode("https://" + listener.Addr().String() + "/"); err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, stdin)
	return err
}

func selfSigned(caFile string) (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return tls.Certificate{}, err
	}
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, os.WriteFile(caFile, text, 0o600)
}
