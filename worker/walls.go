package worker

import (
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"
)

// Walls say what a child keeps of the machine. Everything else is out of its reach once they stand, as far as the machine
// offers walls: its own program and the system's libraries can be read and run, nothing else.
type Walls struct {
	Write string   // the folder that it may use
	Read  []string // files that it may read
	URLs  []string // services that it may connect to; a part in braces stands for any name
}

func (w Walls) ports() []uint16 {
	var ports []uint16
	for _, text := range w.URLs {
		u, err := url.Parse(strings.NewReplacer("{", "", "}", "").Replace(text))
		if err != nil || u.Host == "" {
			continue
		}
		port, err := strconv.ParseUint(u.Port(), 10, 16)
		if err != nil {
			port = 443
			if u.Scheme == "http" {
				port = 80
			}
		}
		ports = append(ports, uint16(port))
	}
	return ports
}

// Client gives an HTTP client that trusts the authorities of a file, and the system's when the name is empty. It uses no
// proxy, and waits for leave before it sends a body that was announced so.
func Client(caFile string) (*http.Client, error) {
	transport := &http.Transport{
		TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12}, MaxIdleConnsPerHost: 16,
		TLSHandshakeTimeout: 10 * time.Second, ExpectContinueTimeout: 5 * time.Second, IdleConnTimeout: time.Minute,
	}
	if caFile != "" {
		text, err := os.ReadFile(caFile)
		if err != nil {
			return nil, err
		}
		transport.TLSClientConfig.RootCAs = x509.NewCertPool()
		transport.TLSClientConfig.RootCAs.AppendCertsFromPEM(text)
	}
	return &http.Client{Transport: transport}, nil
}
