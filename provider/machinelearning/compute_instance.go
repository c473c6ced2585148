package machinelearning

import (
	"encoding/json"
	"strings"

	"github.com/alvara-ml/alvara/arm"
	"github.com/alvara-ml/alvara/featurestore/spec"
	"github.com/alvara-ml/alvara/resource"
)

// instance is the properties of a ComputeInstance: one node, of one person.
type instance struct {
	VMSize             string           `json:"vmSize"`
	Sharing            string           `json:"applicationSharingPolicy"` // Personal or Shared
	Authorization      string           `json:"computeInstanceAuthorizationType"`
	Personal           *personal        `json:"personalComputeInstanceSettings,omitempty"`
	IdleBeforeShutdown string           `json:"idleTimeBeforeShutdown,omitempty"` // ISO 8601
	EnableNodePublicIP *bool            `json:"enableNodePublicIp,omitempty"`
	SSH                *sshOfAnInstance `json:"sshSettings,omitempty"`
	State              string           `json:"state,omitempty"` // Running or Stopped; no write changes it
	outbound
}

type personal struct {
	AssignedUser struct {
		ObjectID string `json:"objectId"`
		TenantID string `json:"tenantId"`
	} `json:"assignedUser"`
}

type sshOfAnInstance struct {
	PublicAccess string `json:"sshPublicAccess"`
}

var refusedOfInstances = map[string]string{
	"subnet":         "there are no virtual networks for nodes",
	"schedules":      "instances are started and stopped by hand",
	"setupScripts":   "nodes are places for jobs on this server's machine, without a system of their own that scripts could set up",
	"customServices": "nodes are places for jobs on this server's machine; services run as deployments",
}

func settleInstance(call *arm.Call, next, prev json.RawMessage) (json.RawMessage, error) {
	var i, old instance
	if err := readKind(next, &i, refusedOfInstances); err != nil {
		return nil, err
	}
	if prev != nil {
		if err := json.Unmarshal(prev, &old); err != nil {
			return nil, err
		}
	}
	if err := checkVMSize(&i.VMSize, old.VMSize); err != nil {
		return nil, err
	}
	const base = "properties.properties."
	switch {
	case i.Sharing == "" || strings.EqualFold(i.Sharing, "Personal"):
		i.Sharing = "Personal"
	case strings.EqualFold(i.Sharing, "Shared"):
		i.Sharing = "Shared"
	default:
		return nil, resource.Invalidf("InvalidCompute", "%sapplicationSharingPolicy is %q; Personal or Shared was expected", base, i.Sharing).At(base + "applicationSharingPolicy")
	}
	if i.Authorization != "" && !strings.EqualFold(i.Authorization, "personal") {
		return nil, resource.Invalidf("InvalidCompute", "%scomputeInstanceAuthorizationType is %q; personal was expected", base, i.Authorization).At(base + "computeInstanceAuthorizationType")
	}
	i.Authorization = "personal"
	if i.SSH != nil && strings.EqualFold(i.SSH.PublicAccess, "Enabled") {
		return nil, resource.Errorf(resource.Unsupported, "NotSupported", "%ssshSettings: nobody signs in to nodes; leave the field out", base).At(base + "sshSettings")
	}
	i.SSH = nil
	if i.IdleBeforeShutdown != "" {
		if _, err := spec.ParseISODuration(i.IdleBeforeShutdown); err != nil {
			return nil, resource.Invalidf("InvalidCompute", "%sidleTimeBeforeShutdown is %q; an ISO 8601 duration such as PT30M was expected", base, i.IdleBeforeShutdown).At(base + "idleTimeBeforeShutdown")
		}
	}
	if i.State = old.State; i.State == "" {
		i.State = instanceRunning
	}
	if err := i.settleOutbound(old.outbound); err != nil {
		return nil, err
	}
	if i.Personal == nil {
		i.Personal = old.Personal
	}
	if i.Personal != nil {
		const field = base + "personalComputeInstanceSettings.assignedUser"
		who, known := call.Manager.Identities.Lookup(strings.ToLower(i.Personal.AssignedUser.ObjectID))
		if !known || who.Type != "User" {
			return nil, resource.Invalidf("PrincipalNotFound", "%s.objectId is %q; the object id of a user was expected", field, i.Personal.AssignedUser.ObjectID).At(field)
		}
		i.Personal.AssignedUser.ObjectID, i.Personal.AssignedUser.TenantID = who.ID, call.Manager.Tenant
	}
	return json.Marshal(i)
}

// showInstance says whose the instance is.
func showInstance(properties json.RawMessage, r *arm.Resource[Compute], _ nodesNow) json.RawMessage {
	more := map[string]any{}
	if r.SystemData != nil {
		more["createdBy"] = map[string]any{"userName": r.SystemData.CreatedBy}
	}
	return with(properties, more)
}
