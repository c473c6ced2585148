package machinelearning

import (
	"encoding/json"
	"sort"
	"strings"

	"github.com/alvara-ml/alvara/arm"
	"github.com/alvara-ml/alvara/resource"
)

// computeKind is one type of computes: how its properties are checked and completed, and what is shown beside them.
type computeKind struct {
	name       string
	attached   bool
	underlying func(resourceID string) (string, error)
	settle     func(call *arm.Call, next, prev json.RawMessage) (json.RawMessage, error)
	shown      func(properties json.RawMessage, r *arm.Resource[Compute], now nodesNow) json.RawMessage
}

var computeKinds = []computeKind{
	{"AmlCompute", false, noUnderlying, settleCluster, showCluster},
	{"ComputeInstance", false, noUnderlying, settleInstance, showInstance},
	{"Kubernetes", true, clusterID, settleKubernetes, showAsIs},
	{aksType, true, managedClusterID, settleAKS, showAsIs},
}

func showAsIs(p json.RawMessage, _ *arm.Resource[Compute], _ nodesNow) json.RawMessage { return p }

func kindOfCompute(name string) (computeKind, error) {
	var names []string
	for _, kind := range computeKinds {
		if strings.EqualFold(kind.name, name) {
			return kind, nil
		}
		names = append(names, kind.name)
	}
	if name == "" {
		return computeKind{}, resource.Invalidf("InvalidComputeType", "properties.computeType is missing; one of these was expected: %s", strings.Join(names, ", ")).At("properties.computeType")
	}
	return computeKind{}, resource.Errorf(resource.Unsupported, "ComputeTypeNotSupported", "properties.computeType is %q; this version offers %s", name, strings.Join(names, ", ")).At("properties.computeType")
}

func noUnderlying(text string) (string, error) {
	if text == "" {
		return "", nil
	}
	return "", resource.Invalidf("InvalidCompute", "properties.resourceId is %q; a compute of this type stands for nothing else, leave the field out", text).At("properties.resourceId")
}

// The Kubernetes clusters that can be attached.
const (
	arcCluster     resource.Type = "Microsoft.Kubernetes/connectedClusters"
	managedCluster resource.Type = "Microsoft.ContainerService/managedClusters"
)

func clusterID(text string) (string, error) {
	id, err := resource.ParseID(text)
	if err != nil || text == "" || (!id.Type().Is(arcCluster) && !id.Type().Is(managedCluster)) {
		return "", resource.Invalidf("InvalidResourceId", "properties.resourceId is %q; the id of the cluster was expected, a %s or a %s", text, arcCluster, managedCluster).At("properties.resourceId")
	}
	return id.String(), nil
}

const vmSizeExample = "Standard_DS3_v2"

func checkVMSize(size *string, prev string) error {
	const field = "properties.properties.vmSize"
	switch {
	case *size == "" && prev != "":
		*size = prev
	case *size == "":
		*size = vmSizeExample
	case !vmSize.MatchString(*size):
		return resource.Invalidf("InvalidVmSize", "%s is %q; the name of a size was expected, such as %s", field, *size, vmSizeExample).At(field)
	}
	if prev != "" && !strings.EqualFold(*size, prev) {
		return fixed(field, *size, prev)
	}
	return nil
}

// readKind reads the properties of a type, and refuses by name what would be promised and not kept: each refused field
// may be absent, null, false or empty.
func readKind(raw json.RawMessage, into any, refused map[string]string) error {
	if len(raw) == 0 || string(raw) == "null" {
		return nil
	}
	var fields map[string]any
	if err := json.Unmarshal(raw, &fields); err != nil {
		return resource.Invalidf("InvalidRequestContent", "properties.properties: an object was expected").At("properties.properties")
	}
	names := make([]string, 0, len(fields))
	for name := range fields {
		names = append(names, name)
	}
	sort.Strings(names)
	for _, name := range names {
		for field, why := range refused {
			if strings.EqualFold(field, name) && !nothing(fields[name]) {
				at := "properties.properties." + field
				return resource.Errorf(resource.Unsupported, "NotSupported", "%s: %s; leave the field out", at, why).At(at)
			}
		}
	}
	if err := json.Unmarshal(raw, into); err != nil {
		return resource.Invalidf("InvalidRequestContent", "properties.properties cannot be read: %v", err).At("properties.properties")
	}
	return nil
}

func nothing(value any) bool {
	switch given := value.(type) {
	case nil:
		return true
	case bool:
		return !given
	case string:
		return given == ""
	case []any:
		return len(given) == 0
	case map[string]any:
		return len(given) == 0
	}
	return false
}

// with adds fields to an object.
func with(properties json.RawMessage, more map[string]any) json.RawMessage {
	all := map[string]any{}
	if json.Unmarshal(properties, &all) != nil {
		return properties
	}
	for name, value := range more {
		all[name] = value
	}
	text, err := json.Marshal(all)
	if err != nil {
		return properties
	}
	return text
}
