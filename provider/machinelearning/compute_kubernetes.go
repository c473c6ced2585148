package machinelearning

import (
	"encoding/json"
	"regexp"
	"sort"

	"github.com/alvara-ml/alvara/arm"
	"github.com/alvara-ml/alvara/resource"
)

// kubernetes is the properties of an attached Kubernetes cluster.
type kubernetes struct {
	Namespace           string                  `json:"namespace"`
	DefaultInstanceType string                  `json:"defaultInstanceType,omitempty"`
	InstanceTypes       map[string]instanceType `json:"instanceTypes,omitempty"`
	VCName              string                  `json:"vcName,omitempty"`
	ExtensionPrincipal  string                  `json:"extensionPrincipalId,omitempty"`
	ReleaseTrain        string                  `json:"extensionInstanceReleaseTrain,omitempty"`
	outbound
}

// instanceType is what a job gets of a cluster that asks for the type by name.
type instanceType struct {
	NodeSelector map[string]string `json:"nodeSelector,omitempty"`
	Resources    struct {
		Requests map[string]*string `json:"requests,omitempty"`
		Limits   map[string]*string `json:"limits,omitempty"`
	} `json:"resources"`
}

var refusedOfKubernetes = map[string]string{
	"relayConnectionString":      "the cluster is reached by identity, no password for it is kept",
	"serviceBusConnectionString": "the cluster is reached by identity, no password for it is kept",
}

var (
	dnsLabel  = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$`)
	quantity  = regexp.MustCompile(`^[0-9]+(\.[0-9]+)?(m|k|[MGTPE]|[KMGTPE]i)?$`)
	typeNames = regexp.MustCompile(`^[a-z0-9]([-.a-z0-9]{0,61}[a-z0-9])?$`)
)

func settleKubernetes(_ *arm.Call, next, prev json.RawMessage) (json.RawMessage, error) {
	var k, old kubernetes
	if err := readKind(next, &k, refusedOfKubernetes); err != nil {
		return nil, err
	}
	if prev != nil {
		if err := json.Unmarshal(prev, &old); err != nil {
			return nil, err
		}
	}
	const base = "properties.properties."
	if k.Namespace == "" {
		k.Namespace = old.Namespace
	}
	if k.Namespace == "" {
		k.Namespace = "default"
	}
	if !dnsLabel.MatchString(k.Namespace) {
		return nil, resource.Invalidf("InvalidCompute", "%snamespace is %q; 1 to 63 lower-case letters, digits or '-' were expected", base, k.Namespace).At(base + "namespace")
	}
	if old.Namespace != "" && k.Namespace != old.Namespace {
		return nil, fixed(base+"namespace", k.Namespace, old.Namespace)
	}
	if err := k.settleOutbound(old.outbound); err != nil {
		return nil, err
	}
	names := make([]string, 0, len(k.InstanceTypes))
	for name := range k.InstanceTypes {
		names = append(names, name)
	}
	sort.Strings(names)
	for _, name := range names {
		at := base + "instanceTypes." + name
		if !typeNames.MatchString(name) {
			return nil, resource.Invalidf("InvalidCompute", "%s: %q is no name for an instance type; 1 to 63 lower-case letters, digits, '-' or '.' were expected", at, name).At(at)
		}
		for part, amounts := range map[string]map[string]*string{"requests": k.InstanceTypes[name].Resources.Requests, "limits": k.InstanceTypes[name].Resources.Limits} {
			for what, amount := range amounts {
				if amount != nil && !quantity.MatchString(*amount) {
					return nil, resource.Invalidf("InvalidCompute", "%s.resources.%s.%s is %q; a quantity such as 500m, 2 or 4Gi was expected", at, part, what, *amount).At(at)
				}
			}
		}
	}
	if _, known := k.InstanceTypes[k.DefaultInstanceType]; k.DefaultInstanceType != "" && len(names) > 0 && !known {
		return nil, resource.Invalidf("InvalidCompute", "%sdefaultInstanceType is %q, which is not among instanceTypes", base, k.DefaultInstanceType).At(base + "defaultInstanceType")
	}
	return json.Marshal(k)
}
