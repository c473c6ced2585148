package machinelearning

import (
	"encoding/json"
	"regexp"
	"strings"

	"github.com/alvara-ml/alvara/arm"
	"github.com/alvara-ml/alvara/featurestore/spec"
	"github.com/alvara-ml/alvara/resource"
)

// cluster is the properties of an AmlCompute: nodes that come and go with the jobs.
type cluster struct {
	VMSize             string         `json:"vmSize"`
	VMPriority         string         `json:"vmPriority"` // Dedicated or LowPriority
	OSType             string         `json:"osType"`
	ScaleSettings      *scaleSettings `json:"scaleSettings"`
	EnableNodePublicIP *bool          `json:"enableNodePublicIp,omitempty"`
	RemoteLogin        string         `json:"remoteLoginPortPublicAccess"`
	outbound
}

type scaleSettings struct {
	MinNodeCount int    `json:"minNodeCount"`
	MaxNodeCount int    `json:"maxNodeCount"`
	NodeIdle     string `json:"nodeIdleTimeBeforeScaleDown"` // ISO 8601
}

// maxNodes is the most that one cluster is let grow to.
const maxNodes = 1000

var vmSize = regexp.MustCompile(`^(?i:standard|basic)_[A-Za-z0-9_-]{1,80}$`)

var refusedOfClusters = map[string]string{
	"subnet":                 "there are no virtual networks for nodes",
	"virtualMachineImage":    "nodes run on this server's machine",
	"isolatedNetwork":        "there are no virtual networks for nodes",
	"userAccountCredentials": "nobody signs in to nodes",
}

func settleCluster(_ *arm.Call, next, prev json.RawMessage) (json.RawMessage, error) {
	var c, old cluster
	if err := readKind(next, &c, refusedOfClusters); err != nil {
		return nil, err
	}
	if prev != nil {
		if err := json.Unmarshal(prev, &old); err != nil {
			return nil, err
		}
	}
	if err := checkVMSize(&c.VMSize, old.VMSize); err != nil {
		return nil, err
	}
	const priority = "properties.properties.vmPriority"
	for _, word := range []struct {
		field         string
		at            *string
		usual, prev   string
		others        []string
		notOffered    string
		notOfferedWhy string
	}{
		{priority, &c.VMPriority, "Dedicated", old.VMPriority, []string{"LowPriority"}, "", ""},
		{"properties.properties.osType", &c.OSType, "Linux", old.OSType, nil, "Windows", "nodes run Linux"},
		{"properties.properties.remoteLoginPortPublicAccess", &c.RemoteLogin, "Disabled", old.RemoteLogin, nil, "Enabled", "nobody signs in to nodes"},
	} {
		value, settled := *word.at, ""
		for _, known := range append([]string{word.usual}, word.others...) {
			if strings.EqualFold(value, known) {
				settled = known
			}
		}
		switch {
		case value == "" && word.prev != "":
			settled = word.prev
		case value == "" || strings.EqualFold(value, "NotSpecified"):
			settled = word.usual
		case settled == "" && strings.EqualFold(value, word.notOffered):
			return nil, resource.Errorf(resource.Unsupported, "NotSupported", "%s: %s; use %s", word.field, word.notOfferedWhy, word.usual).At(word.field)
		case settled == "":
			return nil, resource.Invalidf("InvalidCompute", "%s is %q; %s was expected", word.field, value, strings.Join(append([]string{word.usual}, word.others...), " or ")).At(word.field)
		}
		*word.at = settled
	}
	if old.VMPriority != "" && old.VMPriority != c.VMPriority {
		return nil, fixed(priority, c.VMPriority, old.VMPriority)
	}
	if c.ScaleSettings == nil {
		c.ScaleSettings = old.ScaleSettings
	}
	if err := c.settleScale(); err != nil {
		return nil, err
	}
	if err := c.settleOutbound(old.outbound); err != nil {
		return nil, err
	}
	return json.Marshal(c)
}

func (c *cluster) settleScale() error {
	const field = "properties.properties.scaleSettings"
	if c.ScaleSettings == nil {
		c.ScaleSettings = &scaleSettings{MaxNodeCount: 1}
	}
	s := c.ScaleSettings
	switch {
	case s.MinNodeCount < 0:
		return resource.Invalidf("InvalidScaleSettings", "%s.minNodeCount is %d; 0 or more was expected", field, s.MinNodeCount).At(field + ".minNodeCount")
	case s.MaxNodeCount < 1 || s.MaxNodeCount > maxNodes:
		return resource.Invalidf("InvalidScaleSettings", "%s.maxNodeCount is %d; 1 to %d was expected", field, s.MaxNodeCount, maxNodes).At(field + ".maxNodeCount")
	case s.MinNodeCount > s.MaxNodeCount:
		return resource.Invalidf("InvalidScaleSettings", "%s.minNodeCount is %d and maxNodeCount is %d; the first must not be larger", field, s.MinNodeCount, s.MaxNodeCount).At(field + ".minNodeCount")
	}
	if s.NodeIdle == "" {
		s.NodeIdle = "PT120S"
	}
	if _, err := spec.ParseISODuration(s.NodeIdle); err != nil {
		return resource.Invalidf("InvalidScaleSettings", "%s.nodeIdleTimeBeforeScaleDown is %q; an ISO 8601 duration such as PT120S was expected", field, s.NodeIdle).At(field + ".nodeIdleTimeBeforeScaleDown")
	}
	return nil
}

// showCluster says what the cluster is doing. Nodes that are wanted and not there yet come when others are free.
func showCluster(properties json.RawMessage, r *arm.Resource[Compute], now nodesNow) json.RawMessage {
	more := map[string]any{
		"allocationState": "Steady", "currentNodeCount": len(now.Nodes), "targetNodeCount": now.Target,
		"nodeStateCounts": map[string]any{
			"idleNodeCount": now.count(nodeIdle), "runningNodeCount": now.count(nodeRunning), "preparingNodeCount": now.count(nodePreparing),
			"unusableNodeCount": 0, "leavingNodeCount": 0, "preemptedNodeCount": 0,
		},
	}
	if now.Target > len(now.Nodes) {
		more["allocationState"] = "Resizing"
	}
	switch {
	case !now.Since.IsZero():
		more["allocationStateTransitionTime"] = now.Since.UTC()
	case r.SystemData != nil:
		more["allocationStateTransitionTime"] = r.SystemData.CreatedAt
	}
	return with(properties, more)
}
