package cli

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/alvara-ml/alvara/cli/document"
	"github.com/alvara-ml/alvara/featurestore/spec"
)

// deploymentFields are what a deployment has in a file.
var deploymentFields = []string{"type", "name", "endpoint_name", "description", "tags", "properties", "model", "model_mount_path", "code_configuration", "environment",
	"environment_variables", "instance_type", "instance_count", "app_insights_enabled", "liveness_probe", "readiness_probe", "startup_probe", "request_settings",
	"scale_settings", "resources", "egress_public_network_access", "location"}

// deploymentTypes are the words of files for where deployments run.
var deploymentTypes = map[string]string{"managed": "Managed", "kubernetes": "Kubernetes", "container_instance": "ContainerInstance"}

// deployment is a deployment on the wire.
func (f jobFile) deployment(given *document.Object) (*document.Object, error) {
	const where = "the deployment"
	if err := knownFields(where, given, deploymentFields...); err != nil {
		return nil, err
	}
	kind, ok := deploymentTypes[strings.ToLower(first(given.Text("type"), "managed"))]
	if !ok {
		return nil, usagef("%s: type is %q; managed, kubernetes or container_instance was expected", where, given.Text("type"))
	}
	p := document.New("endpointComputeType", kind).SetIf("description", given.Text("description")).SetIf("instanceType", given.Text("instance_type")).
		SetIf("modelMountPath", given.Text("model_mount_path")).SetIf("egressPublicNetworkAccess", given.Text("egress_public_network_access"))
	if insights := given.Get("app_insights_enabled"); insights != nil {
		p.Set("appInsightsEnabled", insights)
	}
	for _, field := range []string{"properties", "environment_variables"} {
		texts, err := textsOf(where, field, given)
		if err != nil {
			return nil, err
		}
		p.SetIf(camel(field), texts)
	}
	if err := f.deployed(where, given, p); err != nil {
		return nil, err
	}
	for _, part := range deploymentParts {
		value := given.Get(part.field)
		if value == nil {
			continue
		}
		from, ok := value.(*document.Object)
		if !ok {
			return nil, usagef("%s: %s is no mapping", where, part.field)
		}
		read, err := part.read(where+": "+part.field, from)
		if err != nil {
			return nil, err
		}
		p.SetIf(part.wire, read)
	}
	body := document.New("properties", p)
	tags, err := textsOf(where, "tags", given)
	if err != nil {
		return nil, err
	}
	if tags != nil {
		body.Set("tags", tags)
	}
	capacity := document.New()
	if err := wholeNumber(where, given, "instance_count", "capacity", 1, capacity); err != nil {
		return nil, err
	}
	if capacity.Len() > 0 {
		body.Set("sku", document.New("name", "Default", "capacity", capacity.Get("capacity")))
	}
	return body, nil
}

// deployed reads what runs in a deployment: model, code and environment.
func (f jobFile) deployed(where string, given, p *document.Object) error {
	if model := given.Get("model"); model != nil {
		id, err := f.model(where+": model", model)
		if err != nil {
			return err
		}
		p.Set("model", id)
	}
	if value := given.Get("code_configuration"); value != nil {
		code, ok := value.(*document.Object)
		if !ok {
			return usagef("%s: code_configuration is no mapping; lines with code and scoring_script were expected", where)
		}
		if err := knownFields(where+": code_configuration", code, "code", "scoring_script"); err != nil {
			return err
		}
		if code.Text("scoring_script") == "" {
			return usagef("%s: code_configuration has no scoring_script", where)
		}
		configuration := document.New()
		if text := code.Text("code"); text != "" {
			id, err := f.codeOf(where+": code_configuration.code", text)
			if err != nil {
				return err
			}
			configuration.Set("codeId", id)
		}
		p.Set("codeConfiguration", configuration.Set("scoringScript", code.Text("scoring_script")))
	}
	environment := given.Get("environment")
	if environment == nil {
		return nil
	}
	id, err := f.assets.environment(where+": environment", environment, f.folder)
	p.Set("environmentId", id)
	return err
}

// deploymentParts are the mappings in a deployment's file.
var deploymentParts = []struct {
	field, wire string
	read        func(where string, given *document.Object) (*document.Object, error)
	shown       func(wire *document.Object) *document.Object
}{
	{"liveness_probe", "livenessProbe", probeOf, probeShown}, {"readiness_probe", "readinessProbe", probeOf, probeShown}, {"startup_probe", "startupProbe", probeOf, probeShown},
	{"request_settings", "requestSettings", requestsOf, requestsShown}, {"scale_settings", "scaleSettings", scaleOf, scaleShown},
	{"resources", "containerResourceRequirements", containerOf, containerShown},
}

func probeOf(where string, given *document.Object) (*document.Object, error) {
	if err := knownFields(where, given, "initial_delay", "period", "timeout", "success_threshold", "failure_threshold"); err != nil {
		return nil, err
	}
	out := document.New()
	for _, field := range []string{"success_threshold", "failure_threshold"} {
		if err := wholeNumber(where, given, field, camel(field), 1, out); err != nil {
			return nil, err
		}
	}
	for _, field := range []string{"initial_delay", "period", "timeout"} {
		if err := duration(where, given, field, camel(field), time.Second, out); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func probeShown(wire *document.Object) *document.Object {
	return document.New().SetIf("initial_delay", inUnits(wire.Text("initialDelay"), time.Second)).SetIf("period", inUnits(wire.Text("period"), time.Second)).
		SetIf("timeout", inUnits(wire.Text("timeout"), time.Second)).SetIf("success_threshold", wire.Get("successThreshold")).SetIf("failure_threshold", wire.Get("failureThreshold"))
}

func requestsOf(where string, given *document.Object) (*document.Object, error) {
	if err := knownFields(where, given, "request_timeout_ms", "max_concurrent_requests_per_instance", "max_queue_wait_ms"); err != nil {
		return nil, err
	}
	out := document.New()
	if err := wholeNumber(where, given, "max_concurrent_requests_per_instance", "maxConcurrentRequestsPerInstance", 1, out); err != nil {
		return nil, err
	}
	if err := duration(where, given, "request_timeout_ms", "requestTimeout", time.Millisecond, out); err != nil {
		return nil, err
	}
	return out, duration(where, given, "max_queue_wait_ms", "maxQueueWait", time.Millisecond, out)
}

func requestsShown(wire *document.Object) *document.Object {
	return document.New().SetIf("request_timeout_ms", inUnits(wire.Text("requestTimeout"), time.Millisecond)).
		SetIf("max_concurrent_requests_per_instance", wire.Get("maxConcurrentRequestsPerInstance")).SetIf("max_queue_wait_ms", inUnits(wire.Text("maxQueueWait"), time.Millisecond))
}

func scaleOf(where string, given *document.Object) (*document.Object, error) {
	switch strings.ToLower(given.Text("type")) {
	case "default":
		return document.New("scaleType", "Default"), knownFields(where, given, "type")
	case "target_utilization":
	default:
		return nil, usagef("%s.type is %q; default or target_utilization was expected", where, given.Text("type"))
	}
	if err := knownFields(where, given, "type", "min_instances", "max_instances", "polling_interval", "target_utilization_percentage"); err != nil {
		return nil, err
	}
	out := document.New("scaleType", "TargetUtilization")
	for _, field := range []string{"min_instances", "max_instances", "target_utilization_percentage"} {
		if err := wholeNumber(where, given, field, camel(field), 0, out); err != nil {
			return nil, err
		}
	}
	return out, duration(where, given, "polling_interval", "pollingInterval", time.Second, out)
}

func scaleShown(wire *document.Object) *document.Object {
	if strings.EqualFold(wire.Text("scaleType"), "Default") {
		return document.New("type", "default")
	}
	return document.New("type", "target_utilization").SetIf("min_instances", wire.Get("minInstances")).SetIf("max_instances", wire.Get("maxInstances")).
		SetIf("polling_interval", inUnits(wire.Text("pollingInterval"), time.Second)).SetIf("target_utilization_percentage", wire.Get("targetUtilizationPercentage"))
}

const gpuField = "nvidia.com/gpu"

func containerOf(where string, given *document.Object) (*document.Object, error) {
	if err := knownFields(where, given, "requests", "limits"); err != nil {
		return nil, err
	}
	out := document.New()
	for field, wire := range map[string]string{"requests": "containerResourceRequests", "limits": "containerResourceLimits"} {
		texts, err := textsOf(where, field, given)
		if err != nil {
			return nil, err
		}
		if err := knownFields(where+"."+field, texts, "cpu", "memory", gpuField); err != nil {
			return nil, err
		}
		out.SetIf(wire, document.New().SetIf("cpu", texts.Text("cpu")).SetIf("memory", texts.Text("memory")).SetIf("gpu", texts.Text(gpuField)))
	}
	return out, nil
}

func containerShown(wire *document.Object) *document.Object {
	out := document.New()
	for _, part := range []struct{ field, wire string }{{"requests", "containerResourceRequests"}, {"limits", "containerResourceLimits"}} {
		amounts := wire.Object(part.wire)
		out.SetIf(part.field, document.New().SetIf("cpu", amounts.Text("cpu")).SetIf("memory", amounts.Text("memory")).SetIf(gpuField, amounts.Text("gpu")))
	}
	return out
}

// duration writes a number of units as ISO 8601, in seconds and their parts.
func duration(where string, given *document.Object, field, wire string, unit time.Duration, out *document.Object) error {
	n := document.New()
	if err := wholeNumber(where, given, field, "n", 0, n); err != nil || n.Len() == 0 {
		return err
	}
	count, _ := n.Get("n").(int)
	if count > 1<<31 {
		return usagef("%s.%s is %d, which is too long", where, field, count)
	}
	out.Set(wire, "PT"+strconv.FormatFloat((time.Duration(count)*unit).Seconds(), 'f', -1, 64)+"S")
	return nil
}

var onlySeconds = regexp.MustCompile(`^PT([0-9]{1,9}(\.[0-9]{1,9})?)S$`)

// inUnits reads a duration of the wire; nil when it is none, or not a whole number of units.
func inUnits(text string, unit time.Duration) any {
	d, err := spec.ParseISODuration(text)
	if found := onlySeconds.FindStringSubmatch(text); found != nil {
		seconds, parseErr := strconv.ParseFloat(found[1], 64)
		d, err = time.Duration(seconds*float64(time.Second)).Round(time.Microsecond), parseErr
	}
	if err != nil || d%unit != 0 {
		return nil
	}
	return int(d / unit)
}

// deploymentFile is a deployment as its file would have it.
func deploymentFile(deployment *document.Object) *document.Object {
	p := deployment.Object("properties")
	id := strings.Split(deployment.Text("id"), "/")
	out := document.New("type", wordOf(deploymentTypes, p.Text("endpointComputeType")), "name", deployment.Get("name"))
	if len(id) > 3 {
		out.Set("endpoint_name", id[len(id)-3])
	}
	out.SetIf("location", deployment.Text("location")).SetIf("description", p.Text("description")).SetIf("tags", deployment.Object("tags")).SetIf("properties", p.Object("properties")).
		SetIf("model", reference(p.Text("model"))).SetIf("model_mount_path", p.Text("modelMountPath"))
	if code := p.Object("codeConfiguration"); code != nil {
		out.Set("code_configuration", document.New().SetIf("code", reference(code.Text("codeId"))).Set("scoring_script", code.Get("scoringScript")))
	}
	out.SetIf("environment", reference(p.Text("environmentId"))).SetIf("environment_variables", p.Object("environmentVariables")).SetIf("instance_type", p.Text("instanceType"))
	if capacity := deployment.Object("sku").Get("capacity"); capacity != nil {
		out.Set("instance_count", capacity)
	}
	if insights := p.Get("appInsightsEnabled"); insights != nil && fmt.Sprint(insights) != "false" {
		out.Set("app_insights_enabled", insights)
	}
	for _, part := range deploymentParts {
		if wire := p.Object(part.wire); wire != nil {
			out.SetIf(part.field, part.shown(wire))
		}
	}
	return out.SetIf("egress_public_network_access", p.Text("egressPublicNetworkAccess"))
}

// deploymentDocument is a deployment as it is shown.
func deploymentDocument(deployment *document.Object) *document.Object {
	if deployment == nil {
		return nil
	}
	p, out := deployment.Object("properties"), deploymentFile(deployment)
	if instances := p.Object("instances"); instances != nil {
		out.Set("ready_instances", instances.Get("ready")).SetIf("message", instances.Text("message"))
	}
	return out.Set("provisioning_state", p.Get("provisioningState")).Set("id", deployment.Get("id")).Set("resourceGroup", groupOf(deployment.Text("id")))
}
