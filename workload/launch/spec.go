package launch

import (
	"context"
	"fmt"
	"net"
	"net/url"
	"os"
	"slices"
	"strings"

	"github.com/alvara-ml/alvara/identity"
	"github.com/alvara-ml/alvara/job"
	"github.com/alvara-ml/alvara/workload"
)

// spec says all of an order in the words of package job.
func (l *Launcher) spec(ctx context.Context, order workload.Order, at place, image *pulled, secret string) (job.Spec, error) {
	words, dir, err := image.command(order, at)
	if err != nil {
		return job.Spec{}, err
	}
	spec := job.Spec{
		ID: order.ID, Layers: image.layers, Hold: image.locks, Command: words, Dir: dir, User: image.config.User, Limits: order.Limits, Nodes: order.Nodes,
	}
	if order.Port != 0 {
		spec.Serve = job.Serve{Port: order.Port, Socket: at.outside.serve}
	}
	if secret != "" {
		spec.Secrets = []string{secretVariable + "=" + secret, msiSecretVariable + "=" + secret}
	}
	spec.Env = variables(image.config.Env, l.platform(order, at, secret), order.Env)
	spec.Env = slices.DeleteFunc(spec.Env, func(setting string) bool {
		name, _, _ := strings.Cut(setting, "=")
		return secret != "" && (name == secretVariable || name == msiSecretVariable)
	})
	if err := l.trust(at); err != nil {
		return job.Spec{}, err
	}
	if !l.isolated() {
		return spec, nil
	}
	var names []string
	if spec.Forward, names, err = l.forward(order, at); err != nil {
		return job.Spec{}, err
	}
	if l.Hosts != nil {
		planes, err := l.Hosts(ctx)
		if err != nil {
			return job.Spec{}, err
		}
		names = append(names, planes...)
	}
	if err := os.WriteFile(at.outside.hosts, hosts(names), 0o644); err != nil {
		return job.Spec{}, diskError(err)
	}
	spec.Mounts = []job.Mount{
		{Source: at.outside.hosts, Target: "/etc/hosts"},
		{Source: at.outside.code, Target: at.inside.code, Writable: true},
		{Source: at.outside.inputs, Target: at.inside.inputs},
		{Source: at.outside.outputs, Target: at.inside.outputs, Writable: true},
		{Source: at.outside.run, Target: at.inside.run, Writable: true},
	}
	if l.CAFile != "" {
		spec.Mounts = append(spec.Mounts, job.Mount{Source: at.outside.ca, Target: at.inside.ca})
	}
	return spec, nil
}

// trust gives the run a copy of its own of the authorities that it trusts: the launcher's may be written anew at any time.
func (l *Launcher) trust(at place) error {
	if l.CAFile == "" {
		return nil
	}
	authorities, err := os.ReadFile(l.CAFile)
	if err != nil {
		return err
	}
	return diskError(os.WriteFile(at.outside.ca, authorities, 0o644))
}

// platform is what every run is told, and what this one is told of its identity.
func (l *Launcher) platform(order workload.Order, at place, secret string) []string {
	var env []string
	if l.Env != nil {
		env = l.Env(at.inside.ca)
	}
	env = append(env, "ALVARA_CODE="+at.inside.code, "ALVARA_INPUTS="+at.inside.inputs, "ALVARA_OUTPUTS="+at.inside.outputs, "ALVARA_METRICS="+at.inside.metrics)
	if secret == "" {
		return env
	}
	env = append(env, identity.Env(l.IdentityURL, secret, order.ClientID)...)
	if order.ClientID != "" {
		env = append(env, "AZURE_CLIENT_ID="+order.ClientID)
	}
	return env
}

// variables joins environments; later ones win, and each name is there once.
func variables(environments ...[]string) []string {
	at := map[string]int{}
	var joined []string
	for _, setting := range slices.Concat(environments...) {
		name, _, ok := strings.Cut(setting, "=")
		if !ok || name == "" {
			continue // an image's
		}
		if i, known := at[name]; known {
			joined[i] = setting
			continue
		}
		at[name] = len(joined)
		joined = append(joined, setting)
	}
	return joined
}

// forward is what the run can reach, and the names under which it does.
func (l *Launcher) forward(order workload.Order, at place) (forwards []job.Forward, names []string, err error) {
	taken := map[string]string{}
	add := func(inside, outside string) error {
		if was, known := taken[inside]; known {
			if was == outside {
				return nil
			}
			return invalid("reach", "%s and %s cannot both be reached at %s inside; give one of them another port.", was, outside, inside)
		}
		taken[inside] = outside
		forwards = append(forwards, job.Forward{Inside: inside, Outside: outside})
		return nil
	}
	for _, plane := range l.Planes {
		if err := add(plane.Inside, plane.Outside); err != nil {
			return nil, nil, err
		}
	}
	if len(order.Tokens) > 0 {
		u, err := url.Parse(l.IdentityURL)
		if err != nil {
			return nil, nil, err
		}
		if err := add(u.Host, "unix:"+at.outside.identity); err != nil {
			return nil, nil, err
		}
	}
	for _, address := range order.Reach {
		host, port, err := net.SplitHostPort(address)
		if err != nil || host == "" || port == "" {
			return nil, nil, invalid("reach", "The address %q must be host:port.", address)
		}
		inside := address
		if net.ParseIP(host) == nil {
			inside = net.JoinHostPort("127.0.0.1", port)
			names = append(names, host)
		}
		if err := add(inside, address); err != nil {
			return nil, nil, err
		}
	}
	return forwards, names, nil
}

// hosts is a file /etc/hosts in which names are the run's own loopback.
func hosts(names []string) []byte {
	var text strings.Builder
	text.WriteString("127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n")
	slices.Sort(names)
	for _, name := range slices.Compact(names) {
		if !strings.ContainsAny(name, " \t\r\n#") && name != "localhost" {
			_, _ = fmt.Fprintf(&text, "127.0.0.1 %s\n", name) // a builder takes everything
		}
	}
	return []byte(text.String())
}
