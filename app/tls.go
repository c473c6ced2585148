package app

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/alvara-ml/alvara/identity"
)

// authority is the server's own certificate authority. Its key is sealed; the server's certificate is short-lived and
// made anew in time.
type authority struct {
	cert   *x509.Certificate
	key    *ecdsa.PrivateKey
	names  []string
	ips    []net.IP
	clock  func() time.Time
	mu     sync.Mutex
	leaf   *tls.Certificate
	expiry time.Time
}

const (
	caLifetime   = 10 * 365 * 24 * time.Hour
	leafLifetime = 30 * 24 * time.Hour
)

// openAuthority reads the authority from the folder or makes it, and writes the certificates that clients trust: ca.pem
// alone, and bundle.pem with the system's own roots, so that a client with it still trusts everybody else.
func openAuthority(dir string, sealer identity.Sealer, clock func() time.Time, names []string, ips []net.IP) (*authority, error) {
	a := &authority{names: names, ips: ips, clock: clock}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	certPath, keyPath := filepath.Join(dir, "ca.pem"), filepath.Join(dir, "ca.key.sealed")
	certText, err := os.ReadFile(certPath)
	if errors.Is(err, fs.ErrNotExist) {
		if err := a.create(certPath, keyPath, sealer); err != nil {
			return nil, err
		}
		return a, a.writeBundle(dir)
	}
	if err != nil {
		return nil, err
	}
	sealed, err := os.ReadFile(keyPath)
	if err != nil {
		return nil, err
	}
	keyDER, err := sealer.Open(sealed, []byte("tls/ca"))
	if err != nil {
		return nil, fmt.Errorf("the key of the certificate authority in %s cannot be opened: %w", dir, err)
	}
	block, _ := pem.Decode(certText)
	if block == nil {
		return nil, fmt.Errorf("%s holds no certificate", certPath)
	}
	if a.cert, err = x509.ParseCertificate(block.Bytes); err != nil {
		return nil, err
	}
	if a.key, err = x509.ParseECPrivateKey(keyDER); err != nil {
		return nil, err
	}
	return a, a.writeBundle(dir)
}

func (a *authority) create(certPath, keyPath string, sealer identity.Sealer) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	now := a.clock()
	template := &x509.Certificate{
		SerialNumber: serial(), Subject: pkix.Name{CommonName: "Alvara local authority", Organization: []string{"Alvara"}},
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(caLifetime), IsCA: true, BasicConstraintsValid: true, MaxPathLenZero: true,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return err
	}
	keyDER, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return err
	}
	sealed, err := sealer.Seal(keyDER, []byte("tls/ca"))
	if err != nil {
		return err
	}
	if err := writeFile(keyPath, sealed, 0o600); err != nil {
		return err
	}
	a.key = key
	if a.cert, err = x509.ParseCertificate(der); err != nil {
		return err
	}
	return writeFile(certPath, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o644)
}

func serial() *big.Int {
	n, _ := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120)) // never fails
	return n
}

var systemRoots = []string{"/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem"}

func (a *authority) writeBundle(dir string) error {
	bundle := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.cert.Raw})
	for _, path := range systemRoots {
		if roots, err := os.ReadFile(path); err == nil {
			bundle = append(bundle, roots...)
			break
		}
	}
	path := filepath.Join(dir, "bundle.pem")
	if there, err := os.ReadFile(path); err == nil && bytes.Equal(there, bundle) {
		return nil // whoever has it open or mounted keeps it
	}
	return writeFile(path, bundle, 0o644)
}

// certificate gives the server's certificate, a new one when two thirds of the old one's life are over.
func (a *authority) certificate(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	now := a.clock()
	if a.leaf != nil && now.Before(a.expiry.Add(-leafLifetime/3)) {
		return a.leaf, nil
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	expiry := now.Add(leafLifetime)
	template := &x509.Certificate{
		SerialNumber: serial(), Subject: pkix.Name{CommonName: "Alvara"}, DNSNames: a.names, IPAddresses: a.ips,
		NotBefore: now.Add(-time.Hour), NotAfter: expiry, KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, &key.PublicKey, a.key)
	if err != nil {
		return nil, err
	}
	a.leaf, a.expiry = &tls.Certificate{Certificate: [][]byte{der, a.cert.Raw}, PrivateKey: key}, expiry
	return a.leaf, nil
}

func (a *authority) config() *tls.Config {
	return &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: a.certificate, NextProtos: []string{"h2", "http/1.1"}}
}

// writeFile replaces a file as a whole and makes it survive a crash.
func writeFile(path string, content []byte, mode fs.FileMode) error {
	temporary, err := os.CreateTemp(filepath.Dir(path), ".new-*")
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(temporary.Name()) }() // gone already when all went well
	if err := temporary.Chmod(mode); err != nil {
		return err
	}
	if _, err := temporary.Write(content); err != nil {
		return err
	}
	if err := temporary.Sync(); err != nil {
		return err
	}
	if err := temporary.Close(); err != nil {
		return err
	}
	return os.Rename(temporary.Name(), path)
}
