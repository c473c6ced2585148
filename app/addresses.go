package app

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"strconv"
)

// Endpoints are the addresses of the planes, as clients are told them and as the data folder keeps them.
type Endpoints struct {
	ResourceManager string `json:"resourceManager"`
	Authority       string `json:"authority"`
	Tenant          string `json:"tenant"`
	Subscription    string `json:"subscription"`
	Blob            string `json:"blob"`
	DFS             string `json:"dfs"`
	Graph           string `json:"graph"`
	Features        string `json:"features"`
	Inference       string `json:"inference"` // of online endpoints; what follows is an endpoint's name
	Identity        string `json:"identity"`
	Domain          string `json:"domain,omitempty"`
	CAFile          string `json:"caFile"` // trust this file: the server's authority and the system's own
}

// EndpointsFile is the name of the file in the data folder that holds the Endpoints.
const EndpointsFile = "endpoints.json"

// ReadEndpoints reads what a server has written into its data folder.
func ReadEndpoints(dataDir string) (Endpoints, error) {
	var e Endpoints
	text, err := os.ReadFile(dataDir + "/" + EndpointsFile)
	if errors.Is(err, fs.ErrNotExist) {
		return e, fmt.Errorf("%s has no %s: no server has run there yet; start one with: alvara serve --data %s", dataDir, EndpointsFile, dataDir)
	}
	if err != nil {
		return e, err
	}
	return e, json.Unmarshal(text, &e)
}

// ports are the ports of the listeners, chosen once and then kept, because the addresses of accounts contain them.
type ports struct {
	Main      int    `json:"main"`
	Blob      int    `json:"blob"`
	DFS       int    `json:"dfs"`
	Inference int    `json:"inference"`
	Identity  int    `json:"identity"`
	Registry  int    `json:"registry,omitempty"` // with a domain; without one each registry has its own
	Domain    string `json:"domain,omitempty"`   // of the last start: addresses that were written down elsewhere contain it
}

type listeners struct {
	host                                           string
	main, blob, dfs, inference, identity, registry net.Listener // registry only with a domain
}

func (l *listeners) close() {
	for _, listener := range []net.Listener{l.main, l.blob, l.dfs, l.inference, l.identity, l.registry} {
		if listener != nil {
			_ = listener.Close() // nothing was accepted yet
		}
	}
}

// listen opens the listeners on the ports of last time, or on free ones.
func listen(config *Config) (*listeners, string, error) {
	var kept ports
	text, err := os.ReadFile(config.path("ports.json"))
	if err == nil {
		err = json.Unmarshal(text, &kept)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, "", fmt.Errorf("ports.json in %s cannot be read: %w", config.DataDir, err)
	}
	host, port := "127.0.0.1", kept.Main
	if config.Listen != "" {
		given, text, err := net.SplitHostPort(config.Listen)
		if err != nil {
			return nil, "", fmt.Errorf("the address to listen on, %q, is not host:port: %w", config.Listen, err)
		}
		if given != "" {
			host = given
		}
		n, err := strconv.Atoi(text)
		if err != nil || n < 0 || n > 65535 {
			return nil, "", fmt.Errorf("the address to listen on, %q, has no port from 0 to 65535", config.Listen)
		}
		if n != 0 {
			port = n
		}
	}
	type want struct {
		into *net.Listener
		host string
		port *int
	}
	l := &listeners{host: host}
	wanted := []want{{&l.main, host, &port}, {&l.blob, host, &kept.Blob}, {&l.dfs, host, &kept.DFS}, {&l.inference, host, &kept.Inference}, {&l.identity, "127.0.0.1", &kept.Identity}}
	if config.Domain != "" {
		wanted = append(wanted, want{&l.registry, host, &kept.Registry})
	}
	for _, want := range wanted {
		opened, err := net.Listen("tcp", net.JoinHostPort(want.host, strconv.Itoa(*want.port)))
		if err != nil {
			l.close()
			if want.into == &l.main && config.Listen != "" {
				return nil, "", fmt.Errorf("the port %d of %s cannot be opened: %w; end what uses it, or name another one with --listen", *want.port, want.host, err)
			}
			return nil, "", fmt.Errorf("the port %d of %s cannot be opened: %w; end what uses it, or remove ports.json from the data folder to choose new ports (addresses of storage accounts change with them)", *want.port, want.host, err)
		}
		*want.into, *want.port = opened, opened.Addr().(*net.TCPAddr).Port
	}
	if len(text) > 0 && kept.Domain != config.Domain {
		config.Log.Warn("the domain is another than at the last start: the addresses of storage accounts and registries change, also those that are written into images' names", "before", kept.Domain, "now", config.Domain)
	}
	kept.Main, kept.Domain = port, config.Domain
	text, err = json.MarshalIndent(kept, "", "  ")
	if err == nil {
		err = writeFile(config.path("ports.json"), text, 0o644)
	}
	if err != nil {
		l.close()
		return nil, "", err
	}
	return l, host, nil
}

// endpoints gives the addresses for clients: host names below the domain, or the IP form.
func (l *listeners) endpoints(config *Config, host string) Endpoints {
	if ip := net.ParseIP(host); ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	at := func(scheme, host string, listener net.Listener) string {
		return scheme + "://" + net.JoinHostPort(host, strconv.Itoa(listener.Addr().(*net.TCPAddr).Port))
	}
	e := Endpoints{Domain: config.Domain, Identity: at("http", "127.0.0.1", l.identity), CAFile: config.path("tls", "bundle.pem")}
	e.ResourceManager, e.Authority = at("https", host, l.main), at("https", host, l.main)
	e.Blob, e.DFS, e.Inference = at("https", host, l.blob), at("https", host, l.dfs), at("https", host, l.inference)
	if config.Domain != "" {
		e.ResourceManager, e.Authority = at("https", "management."+config.Domain, l.main), at("https", "login."+config.Domain, l.main)
	}
	e.Graph, e.Features = e.ResourceManager, e.ResourceManager+"/features"
	return e
}
