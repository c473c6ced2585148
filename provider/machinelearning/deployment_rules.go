package machinelearning

import (
	"context"
	"encoding/json"
	"path"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/alvara-ml/alvara/arm"
	"github.com/alvara-ml/alvara/resource"
	"github.com/alvara-ml/alvara/store"
)

// maxInstances is the most that one deployment is let grow to.
const maxInstances = 100

// Times of deployments that do not say them, and the longest that a request may take.
const (
	usualTimeout = "PT5S"
	usualWait    = "PT0.5S"
	longestCall  = 180 * time.Second
)

var (
	variableName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)
	sizeName     = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,80}$`)
	amountOf     = regexp.MustCompile(`^([0-9]+(?:\.[0-9]+)?)(m|[kMGTPE]|[KMGTPE]i)?$`)
)

func invalidDeployment(field, format string, args ...any) error {
	return resource.Invalidf("InvalidDeployment", field+" "+format, args...).At(field)
}

func (d Deps) validateDeployment(ctx context.Context, change *arm.Change[OnlineDeployment]) error {
	p := &change.Next.Properties
	p.Instances = nil
	if err := refuseOfDeployment(p); err != nil {
		return err
	}
	if err := settleComputeType(change); err != nil {
		return err
	}
	for _, settle := range []func(*OnlineDeployment) error{
		settleContent, settleVariables, settleRequests, settleProbes, settleInstances, settleResources,
	} {
		if err := settle(p); err != nil {
			return err
		}
	}
	if err := settleCapacity(change); err != nil {
		return err
	}
	return checkNamedVersions(ctx, change)
}

func refuseOfDeployment(p *OnlineDeployment) error {
	for _, refused := range []struct {
		field, why string
		given      bool
	}{
		{"modelMountPath", "the model is where AZUREML_MODEL_DIR says", p.ModelMountPath != ""},
		{"appInsightsEnabled", "what a deployment writes is read with alvara ml online-deployment get-logs", p.AppInsightsEnabled},
		{"dataCollector", "requests are not collected", len(p.DataCollector) > 0 && string(p.DataCollector) != "null"},
		{"privateNetworkConnection", "instances reach Alvara's planes and nothing else", p.PrivateNetwork},
	} {
		if refused.given {
			return resource.Errorf(resource.Unsupported, "NotSupported", "properties.%s: %s; leave the field out", refused.field, refused.why).At("properties." + refused.field)
		}
	}
	switch strings.ToLower(p.EgressAccess) {
	case "", "enabled", "disabled": // either way instances reach Alvara's planes alone
	default:
		return invalidDeployment("properties.egressPublicNetworkAccess", "is %q; Enabled or Disabled was expected", p.EgressAccess)
	}
	return nil
}

func settleComputeType(change *arm.Change[OnlineDeployment]) error {
	const field = "properties.endpointComputeType"
	p := &change.Next.Properties
	if p.EndpointComputeType == "" && change.Prev != nil {
		p.EndpointComputeType = change.Prev.Properties.EndpointComputeType
	}
	switch strings.ToLower(p.EndpointComputeType) {
	case "", "managed":
		p.EndpointComputeType = onManaged
	case "kubernetes", "aks":
		p.EndpointComputeType = onKubernetes
	case "containerinstance", "aci":
		p.EndpointComputeType = onContainer
	default:
		return invalidDeployment(field, "is %q; %s, %s or %s was expected", p.EndpointComputeType, onManaged, onKubernetes, onContainer)
	}
	if change.Prev != nil && change.Prev.Properties.EndpointComputeType != p.EndpointComputeType {
		return invalidDeployment(field, "is %q and the deployment was made with %q; it cannot be changed: make another deployment and give it the traffic", p.EndpointComputeType, change.Prev.Properties.EndpointComputeType)
	}
	return nil
}

// settleContent checks what a deployment runs, as far as it can be seen without looking it up.
func settleContent(p *OnlineDeployment) error {
	if p.EnvironmentID == "" {
		return invalidDeployment("properties.environmentId", "is missing; the id of an environment's version was expected, or azureml:NAME:VERSION: a deployment runs in an image")
	}
	code := p.CodeConfiguration
	if code == nil {
		return nil
	}
	const field = "properties.codeConfiguration.scoringScript"
	switch clean := path.Clean(code.ScoringScript); {
	case code.ScoringScript == "":
		return invalidDeployment(field, "is missing; the path of a file in the code was expected")
	case path.IsAbs(clean), clean == ".", clean == "..", strings.HasPrefix(clean, "../"), strings.ContainsAny(clean, "\x00\n"):
		return invalidDeployment(field, "is %q; the path of a file inside of the code was expected", code.ScoringScript)
	default:
		code.ScoringScript = clean
	}
	if code.CodeID == "" {
		return invalidDeployment("properties.codeConfiguration.codeId", "is missing; the id of a code's version was expected")
	}
	return nil
}

func settleVariables(p *OnlineDeployment) error {
	for name, value := range p.EnvironmentVariables {
		if !variableName.MatchString(name) || strings.ContainsRune(value, 0) {
			return invalidDeployment("properties.environmentVariables", "has %q; letters, digits and '_' were expected in names, and no zero byte in values", name)
		}
	}
	if p.InstanceType != "" && !sizeName.MatchString(p.InstanceType) {
		return invalidDeployment("properties.instanceType", "is %q; the name of a size was expected, such as %s", p.InstanceType, vmSizeExample)
	}
	return nil
}

func settleRequests(p *OnlineDeployment) error {
	const field = "properties.requestSettings"
	if p.RequestSettings == nil {
		p.RequestSettings = &RequestSettings{}
	}
	r := p.RequestSettings
	if r.Concurrency == 0 {
		r.Concurrency = 1
	}
	if r.Concurrency < 1 || r.Concurrency > 10_000 {
		return invalidDeployment(field+".maxConcurrentRequestsPerInstance", "is %d; 1 to 10000 was expected", r.Concurrency)
	}
	timeout, err := settleDuration(field+".requestTimeout", &r.RequestTimeout, usualTimeout)
	if err != nil {
		return err
	}
	if timeout <= 0 || timeout > longestCall {
		return invalidDeployment(field+".requestTimeout", "is %q; a duration up to %s was expected", r.RequestTimeout, "PT180S")
	}
	wait, err := settleDuration(field+".maxQueueWait", &r.QueueWait, usualWait)
	if err == nil && wait > longestCall {
		err = invalidDeployment(field+".maxQueueWait", "is %q; a duration up to %s was expected", r.QueueWait, "PT180S")
	}
	return err
}

func settleProbes(p *OnlineDeployment) error {
	for name, at := range map[string]**ProbeSettings{"livenessProbe": &p.LivenessProbe, "readinessProbe": &p.ReadinessProbe, "startupProbe": &p.StartupProbe} {
		field := "properties." + name
		if *at == nil {
			*at = &ProbeSettings{}
		}
		s := *at
		if s.FailureThreshold == 0 {
			s.FailureThreshold = 30
		}
		if s.SuccessThreshold == 0 {
			s.SuccessThreshold = 1
		}
		if s.FailureThreshold < 0 || s.SuccessThreshold < 0 {
			return invalidDeployment(field, "has a threshold below 1")
		}
		for _, one := range []struct {
			name, usual string
			at          *string
			positive    bool
		}{{"timeout", "PT2S", &s.Timeout, true}, {"period", "PT10S", &s.Period, true}, {"initialDelay", "PT0S", &s.InitialDelay, false}} {
			length, err := settleDuration(field+"."+one.name, one.at, one.usual)
			if err != nil {
				return err
			}
			if one.positive && length <= 0 {
				return invalidDeployment(field+"."+one.name, "is %q; more than nothing was expected", *one.at)
			}
		}
	}
	return nil
}

// settleDuration reads an ISO 8601 duration, which may have a fraction of seconds, as requests' times do.
func settleDuration(field string, text *string, usual string) (time.Duration, error) {
	if *text == "" {
		*text = usual
	}
	length, err := shortDuration(*text)
	if err != nil {
		return 0, invalidDeployment(field, "is %q; an ISO 8601 duration up to a day was expected, such as %s", *text, usual)
	}
	return length, nil
}

var isoTime = regexp.MustCompile(`^(?i)P(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+(?:\.\d{1,9})?)S)?)?$`)

func shortDuration(text string) (time.Duration, error) {
	parts := isoTime.FindStringSubmatch(text)
	if parts == nil || len(text) > 40 || strings.HasSuffix(strings.ToUpper(text), "P") || strings.HasSuffix(strings.ToUpper(text), "T") {
		return 0, strconv.ErrSyntax
	}
	var seconds float64
	for i, size := range []float64{86400, 3600, 60, 1} {
		if parts[i+1] == "" {
			continue
		}
		n, err := strconv.ParseFloat(parts[i+1], 64)
		if err != nil {
			return 0, err
		}
		seconds += n * size
	}
	if seconds > 86400 {
		return 0, strconv.ErrRange
	}
	return time.Duration(seconds * float64(time.Second)), nil
}

func settleInstances(p *OnlineDeployment) error {
	const field = "properties.scaleSettings"
	if p.ScaleSettings == nil {
		p.ScaleSettings = &OnlineScale{}
	}
	s := p.ScaleSettings
	switch strings.ToLower(s.ScaleType) {
	case "", "default":
		*s = OnlineScale{ScaleType: "Default"}
		return nil
	case "targetutilization":
		s.ScaleType = "TargetUtilization"
	default:
		return invalidDeployment(field+".scaleType", "is %q; Default or TargetUtilization was expected", s.ScaleType)
	}
	if s.MinInstances == 0 {
		s.MinInstances = 1
	}
	if s.MaxInstances == 0 {
		s.MaxInstances = max(1, s.MinInstances)
	}
	if s.TargetUtilization == 0 {
		s.TargetUtilization = 70
	}
	switch {
	case s.MinInstances < 1:
		return invalidDeployment(field+".minInstances", "is %d; 1 or more was expected", s.MinInstances)
	case s.MaxInstances < s.MinInstances || s.MaxInstances > maxInstances:
		return invalidDeployment(field+".maxInstances", "is %d; minInstances, which is %d, to %d was expected", s.MaxInstances, s.MinInstances, maxInstances)
	case s.TargetUtilization < 1 || s.TargetUtilization > 100:
		return invalidDeployment(field+".targetUtilizationPercentage", "is %d; 1 to 100 was expected", s.TargetUtilization)
	}
	every, err := settleDuration(field+".pollingInterval", &s.PollingInterval, "PT1S")
	if err == nil && every < 100*time.Millisecond {
		err = invalidDeployment(field+".pollingInterval", "is %q; PT0.1S or more was expected", s.PollingInterval)
	}
	return err
}

func settleResources(p *OnlineDeployment) error {
	const field = "properties.containerResourceRequirements"
	c := p.ContainerResources
	if c == nil {
		return nil
	}
	if p.EndpointComputeType == onManaged {
		return resource.Errorf(resource.Unsupported, "NotSupported", "%s belongs to deployments of the types %s and %s; leave the field out", field, onKubernetes, onContainer).At(field)
	}
	for name, some := range map[string]*ContainerResources{"containerResourceLimits": c.Limits, "containerResourceRequests": c.Requests} {
		if some == nil {
			continue
		}
		if some.GPU != "" && some.GPU != "0" {
			return resource.Errorf(resource.Unsupported, "NotSupported", "%s.%s.gpu: instances get no GPU; leave the field out", field, name).At(field)
		}
		for what, amount := range map[string]string{"cpu": some.CPU, "memory": some.Memory} {
			if amount == "" {
				continue
			}
			if value, err := quantityOf(amount); err != nil || value <= 0 {
				return invalidDeployment(field+"."+name+"."+what, "is %q; a quantity such as 500m, 2 or 4Gi was expected", amount)
			}
		}
	}
	return nil
}

// quantityOf reads an amount as Kubernetes writes it.
func quantityOf(text string) (float64, error) {
	parts := amountOf.FindStringSubmatch(text)
	if parts == nil {
		return 0, strconv.ErrSyntax
	}
	size, err := strconv.ParseFloat(parts[1], 64)
	units := map[string]float64{"": 1, "m": 1e-3, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "P": 1e15, "E": 1e18,
		"Ki": 1 << 10, "Mi": 1 << 20, "Gi": 1 << 30, "Ti": 1 << 40, "Pi": 1 << 50, "Ei": 1 << 60}
	return size * units[parts[2]], err
}

// sku is how many instances a deployment has.
type sku struct {
	Name     string `json:"name"`
	Tier     string `json:"tier,omitempty"`
	Size     string `json:"size,omitempty"`
	Family   string `json:"family,omitempty"`
	Capacity *int   `json:"capacity,omitempty"`
}

func settleCapacity(change *arm.Change[OnlineDeployment]) error {
	r := change.Next
	s, err := skuOf(r.SKU)
	if err != nil {
		return err
	}
	if s.Capacity == nil && change.Prev != nil {
		if old, err := skuOf(change.Prev.SKU); err == nil {
			s.Capacity = old.Capacity
		}
	}
	if s.Name == "" {
		s.Name = "Default"
	}
	if s.Capacity == nil {
		one := 1
		s.Capacity = &one
	}
	if *s.Capacity < 1 || *s.Capacity > maxInstances {
		return invalidDeployment("sku.capacity", "is %d; 1 to %d instances were expected", *s.Capacity, maxInstances)
	}
	r.SKU, err = json.Marshal(s)
	return err
}

func skuOf(raw json.RawMessage) (sku, error) {
	var s sku
	if len(raw) == 0 || string(raw) == "null" {
		return s, nil
	}
	if err := json.Unmarshal(raw, &s); err != nil {
		return s, resource.Invalidf("InvalidRequestContent", "sku cannot be read: an object with name and capacity was expected").At("sku")
	}
	return s, nil
}

// deletingDeployment keeps a deployment that requests are parted to.
func deletingDeployment(ctx context.Context, call *arm.Call, r *arm.Resource[OnlineDeployment]) ([]store.Op, error) {
	if !call.Target.ID.Equal(r.ID) {
		return nil, nil // it goes with its endpoint
	}
	endpoint, err := endpointOf(ctx, call, r.ID.Parent())
	if err != nil {
		return nil, err
	}
	if share := endpoint.Properties.trafficOf(r.Name); share > 0 {
		return nil, resource.Conflictf("DeploymentHasTraffic", "The deployment %s serves %d percent of the requests of the endpoint %s; give them to another one first, with: %s", r.Name, share, endpoint.Name, withoutTraffic(endpoint.ID, r.Name))
	}
	doc, err := call.Manager.Store.Get(ctx, endpoint.ID.Key())
	if err != nil {
		return nil, err
	}
	return []store.Op{store.Expect{Key: doc.Key, IfMatch: doc.ETag}}, nil // the traffic is what was looked at
}
