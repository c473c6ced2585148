package machinelearning

import (
	"encoding/json"
	"net"
	"net/netip"
	"regexp"
	"strconv"
	"strings"

	"github.com/alvara-ml/alvara/resource"
)

// outbound is what the jobs of a compute may reach beside Alvara's own planes, as host:port. It is an extension: elsewhere the
// compute's network says so.
type outbound struct {
	Outbound []string `json:"outbound,omitempty"`
}

const maxOutbound = 64

var outboundHost = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*$`)

// settleOutbound checks the addresses and writes them in one way; nil keeps what was there.
func (o *outbound) settleOutbound(prev outbound) error {
	const field = "properties.properties.outbound"
	if o.Outbound == nil {
		o.Outbound = prev.Outbound
		return nil
	}
	if len(o.Outbound) > maxOutbound {
		return resource.Invalidf("InvalidCompute", "%s has %d addresses; %d at most were expected", field, len(o.Outbound), maxOutbound).At(field)
	}
	for i, text := range o.Outbound {
		at := field + "[" + strconv.Itoa(i) + "]"
		host, port, err := net.SplitHostPort(text)
		number, _ := strconv.Atoi(port) // 0 is refused
		if err != nil || number < 1 || number > 65535 {
			return resource.Invalidf("InvalidCompute", "%s is %q; host:port was expected, such as pypi.org:443", at, text).At(at)
		}
		host = strings.ToLower(host)
		if address, err := netip.ParseAddr(host); err == nil {
			host = address.String()
		} else if len(host) > 253 || !outboundHost.MatchString(host) {
			return resource.Invalidf("InvalidCompute", "%s is %q; the name or the address of one host was expected, without wildcards", at, text).At(at)
		}
		o.Outbound[i] = net.JoinHostPort(host, strconv.Itoa(number))
	}
	return nil
}

// outboundOf gives what the jobs of a compute may reach beside Alvara's planes, for Order.Reach.
func outboundOf(c Compute) []string {
	var o outbound
	if json.Unmarshal(c.Properties, &o) != nil {
		return nil
	}
	return o.Outbound
}
