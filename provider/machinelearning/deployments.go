package machinelearning

import (
	"context"
	"encoding/json"
	"regexp"

	"github.com/alvara-ml/alvara/arm"
	"github.com/alvara-ml/alvara/resource"
)

// OnlineDeployment is the properties of a deployment: an image, code and a model that serve an endpoint's requests. How many
// instances there are is sku.capacity, 1 without it.
type OnlineDeployment struct {
	// EndpointComputeType is Managed, Kubernetes or ContainerInstance. On one machine all run in the same way; they differ in as whom
	// the image is pulled: as the endpoint's identity, as the cluster's service principal, as the admin user of the registry.
	EndpointComputeType  string             `json:"endpointComputeType"`
	Description          string             `json:"description,omitempty"`
	Properties           map[string]string  `json:"properties,omitempty"`
	Model                string             `json:"model,omitempty"`         // id of a model's version, azureml:NAME:VERSION, or a URL
	EnvironmentID        string             `json:"environmentId,omitempty"` // id of an environment's version, or azureml:NAME:VERSION
	CodeConfiguration    *CodeConfiguration `json:"codeConfiguration,omitempty"`
	EnvironmentVariables map[string]string  `json:"environmentVariables,omitempty"`
	InstanceType         string             `json:"instanceType,omitempty"`
	RequestSettings      *RequestSettings   `json:"requestSettings,omitempty"`
	LivenessProbe        *ProbeSettings     `json:"livenessProbe,omitempty"`
	ReadinessProbe       *ProbeSettings     `json:"readinessProbe,omitempty"`
	StartupProbe         *ProbeSettings     `json:"startupProbe,omitempty"`
	ScaleSettings        *OnlineScale       `json:"scaleSettings,omitempty"`
	ContainerResources   *ContainerNeeds    `json:"containerResourceRequirements,omitempty"`
	EgressAccess         string             `json:"egressPublicNetworkAccess,omitempty"`

	// What would be promised and not kept, refused by name.
	ModelMountPath     string          `json:"modelMountPath,omitempty"`
	AppInsightsEnabled bool            `json:"appInsightsEnabled"`
	DataCollector      json.RawMessage `json:"dataCollector,omitempty"`
	PrivateNetwork     bool            `json:"privateNetworkConnection,omitempty"`

	// Instances is how many there are, and how they do. No caller sets it.
	Instances *DeploymentInstances `json:"instances,omitempty"`
}

// CodeConfiguration is the code of a deployment and the script in it that scores.
type CodeConfiguration struct {
	CodeID        string `json:"codeId,omitempty"` // id of a code's version, or azureml:NAME:VERSION
	ScoringScript string `json:"scoringScript"`    // a path in the code
}

// RequestSettings bound the requests of a deployment. Times are ISO 8601 durations.
type RequestSettings struct {
	RequestTimeout string `json:"requestTimeout"`                   // PT5S, at most PT180S
	Concurrency    int    `json:"maxConcurrentRequestsPerInstance"` // 1
	QueueWait      string `json:"maxQueueWait"`                     // PT0.5S: how long a request waits for an instance that is free
}

// ProbeSettings say how an instance is asked how it does. Times are ISO 8601 durations.
type ProbeSettings struct {
	FailureThreshold int    `json:"failureThreshold"` // 30: after so many failures in a row it does badly
	SuccessThreshold int    `json:"successThreshold"` // 1
	Timeout          string `json:"timeout"`          // PT2S
	Period           string `json:"period"`           // PT10S
	InitialDelay     string `json:"initialDelay"`     // PT0S
}

// OnlineScale says how many instances there are: sku.capacity with the type Default, as many as the load asks for with
// TargetUtilization.
type OnlineScale struct {
	ScaleType         string `json:"scaleType"`
	MinInstances      int    `json:"minInstances,omitempty"`
	MaxInstances      int    `json:"maxInstances,omitempty"`
	PollingInterval   string `json:"pollingInterval,omitempty"`             // PT1S
	TargetUtilization int    `json:"targetUtilizationPercentage,omitempty"` // 70
}

// ContainerNeeds are what an instance gets, as Kubernetes says it: cpu 500m or 2, memory 512Mi.
type ContainerNeeds struct {
	Limits   *ContainerResources `json:"containerResourceLimits,omitempty"`
	Requests *ContainerResources `json:"containerResourceRequests,omitempty"`
}

// ContainerResources are amounts of what an instance uses.
type ContainerResources struct {
	CPU    string `json:"cpu,omitempty"`
	Memory string `json:"memory,omitempty"`
	GPU    string `json:"gpu,omitempty"`
}

// DeploymentInstances tells how the instances of a deployment do.
type DeploymentInstances struct {
	Wanted  int    `json:"wanted"`
	Ready   int    `json:"ready"`
	Message string `json:"message,omitempty"` // why there are fewer than wanted
}

// The types of computes that deployments run on.
const (
	onManaged    = "Managed"
	onKubernetes = "Kubernetes"
	onContainer  = "ContainerInstance"
)

var deploymentName = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9-]{0,30}[A-Za-z0-9])?$`)

// OnlineDeployments declares the deployments of online endpoints. A write ends when the instances are ready, or fails with the
// reason; those that served before go on until then.
func (d Deps) OnlineDeployments() arm.Type {
	return arm.Define(arm.Spec[OnlineDeployment]{
		Type: deploymentType, APIVersions: apiVersions, Followed: true, Strict: true,
		Name: deploymentName, NameRule: "1 to 32 letters, digits or '-', beginning and ending in a letter or digit",
		Validate:  d.validateDeployment,
		Provision: d.deploy,
		// A patch of what is only shown leaves the instances alone; a PUT looks at what tags mean now.
		NeedsProvision: func(change *arm.Change[OnlineDeployment]) bool {
			return change.Prev == nil || change.Method == "PUT" || !sameServed(change.Next, change.Prev)
		},
		References: deploymentReferences,
		Deleting:   deletingDeployment,
		Deleted: func(ctx context.Context, r *arm.Resource[OnlineDeployment]) error {
			return d.Serving.Remove(ctx, r.ID.Key())
		},
		Present: d.presentDeployment,
		Actions: []arm.Action[OnlineDeployment]{
			{Name: "getLogs", Run: d.deploymentLogs},
			{Name: "skus", Method: "GET", Permission: string(deploymentType) + "/read", Run: deploymentSizes},
		},
	})
}

// sameServed tells whether two states of a deployment ask for the same instances.
func sameServed(next, prev *arm.Resource[OnlineDeployment]) bool {
	served := func(r *arm.Resource[OnlineDeployment]) string {
		p := r.Properties
		p.Description, p.Properties, p.Instances = "", nil, nil
		text, _ := json.Marshal(p) // what was read from JSON always marshals
		return string(text) + string(r.SKU)
	}
	return served(next) == served(prev)
}

// presentDeployment shows a deployment with how its instances do.
func (d Deps) presentDeployment(_ context.Context, _ *arm.Call, r *arm.Resource[OnlineDeployment]) {
	if now, known := d.Serving.Status(r.ID.Key()); known {
		r.Properties.Instances = &DeploymentInstances{Wanted: now.Wanted, Ready: now.Ready, Message: now.Message}
	}
}

// deploymentReferences: what a deployment runs cannot be deleted while it is there.
func deploymentReferences(_ *arm.Call, r *arm.Resource[OnlineDeployment]) []resource.ID {
	p := r.Properties
	var out []resource.ID
	texts := []string{p.EnvironmentID, p.Model}
	if p.CodeConfiguration != nil {
		texts = append(texts, p.CodeConfiguration.CodeID)
	}
	for _, text := range texts {
		if id, err := resource.ParseID(text); err == nil && text != "" {
			out = append(out, id)
		}
	}
	return out
}
