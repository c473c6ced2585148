package local

import (
	"fmt"
	"net"
	"net/netip"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/alvara-ml/alvara/job"
	"github.com/alvara-ml/alvara/resource"
)

const (
	longestID    = 100
	mostNodes    = 64
	mostForwards = 64
)

func invalid(field, format string, args ...any) error {
	return resource.Invalidf("InvalidRun", format, args...).At(field)
}

func isID(id string) bool {
	if id == "" || len(id) > longestID || strings.ContainsRune("_-.", rune(id[0])) {
		return false
	}
	for _, c := range []byte(id) {
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && !strings.ContainsRune("_-.", rune(c)) {
			return false
		}
	}
	return true
}

// complete checks what does not depend on the driver, and puts in the defaults.
func complete(spec job.Spec) (job.Spec, error) {
	if !isID(spec.ID) {
		return spec, invalid("ID", "ID %q must be 1 to %d letters, digits, '_', '-' or '.', and begin with a letter or digit.", spec.ID, longestID)
	}
	if len(spec.Command) == 0 || spec.Command[0] == "" {
		return spec, invalid("Command", "Command must begin with the program to run.")
	}
	for field, words := range map[string][]string{"Command": spec.Command, "Env": spec.Env, "Secrets": spec.Secrets} {
		for _, word := range words {
			name, _, setting := strings.Cut(word, "=")
			if strings.ContainsRune(word, 0) || field != "Command" && (!setting || name == "") {
				return spec, invalid(field, "%s must have no character NUL, and every variable must be NAME=value.", field)
			}
		}
	}
	for i, layer := range spec.Layers {
		if !filepath.IsAbs(layer) {
			return spec, invalid(fmt.Sprintf("Layers[%d]", i), "Layer %q must be an absolute path.", layer)
		}
	}
	for i, m := range spec.Mounts {
		if !filepath.IsAbs(m.Source) || !filepath.IsAbs(m.Target) {
			return spec, invalid(fmt.Sprintf("Mounts[%d]", i), "Source %q and Target %q must be absolute paths.", m.Source, m.Target)
		}
	}
	if spec.Nodes == 0 {
		spec.Nodes = 1
	}
	if spec.Nodes < 0 || spec.Nodes > mostNodes {
		return spec, invalid("Nodes", "Nodes is %d, and must be 1 to %d.", spec.Nodes, mostNodes)
	}
	if s := spec.Serve; s != (job.Serve{}) && (s.Port < 1 || s.Port > 65535 || !filepath.IsAbs(s.Socket)) {
		return spec, invalid("Serve", "Serve needs a Port from 1 to 65535 and an absolute path as Socket, and has %d and %q.", s.Port, s.Socket)
	}
	for _, f := range spec.Forward {
		if _, port, err := net.SplitHostPort(f.Inside); err == nil && port == strconv.Itoa(spec.Serve.Port) {
			return spec, invalid("Serve.Port", "Port %s is one at which something from outside is reached.", port)
		}
	}
	var err error
	if spec.Limits, err = completeLimits(spec.Limits); err != nil {
		return spec, err
	}
	return spec, checkForward(spec.Forward)
}

func completeLimits(l job.Limits) (job.Limits, error) {
	if l.LogBytes == 0 {
		l.LogBytes = job.DefaultLogBytes
	}
	switch {
	case l.LogBytes < job.LeastLogBytes:
		return l, invalid("Limits.LogBytes", "Limits.LogBytes is %d, and must be at least %d.", l.LogBytes, job.LeastLogBytes)
	case l.Timeout < 0 || l.Memory < 0 || l.CPUs < 0 || l.PIDs < 0:
		return l, invalid("Limits", "Limits must not be negative; 0 is the default.")
	}
	return l, nil
}

func checkForward(forwards []job.Forward) error {
	if len(forwards) > mostForwards {
		return invalid("Forward", "%d addresses are more than the %d that can be forwarded.", len(forwards), mostForwards)
	}
	var seen []string
	for i, f := range forwards {
		field := fmt.Sprintf("Forward[%d]", i)
		if at, err := netip.ParseAddrPort(f.Inside); err != nil || at.Port() == 0 || at.Addr().IsUnspecified() || at.Addr().IsMulticast() {
			return invalid(field+".Inside", "Inside %q must be a single IP address with a port, such as 127.0.0.1:8443.", f.Inside)
		}
		path, isSocket := strings.CutPrefix(f.Outside, unixPrefix)
		if host, port, err := net.SplitHostPort(f.Outside); !isSocket && (err != nil || host == "" || port == "") || isSocket && !filepath.IsAbs(path) {
			return invalid(field+".Outside", "Outside %q must be host:port, or unix: and an absolute path.", f.Outside)
		}
		if slices.Contains(seen, f.Inside) {
			return invalid(field+".Inside", "Inside %q is there twice.", f.Inside)
		}
		seen = append(seen, f.Inside)
	}
	return nil
}
