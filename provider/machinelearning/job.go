package machinelearning

import (
	"encoding/json"
	"time"

	"github.com/alvara-ml/alvara/featurestore/ledger"
	"github.com/alvara-ml/alvara/resource"
	"github.com/alvara-ml/alvara/workload"
)

// Job is the properties of a job, of whatever type: what it is to do, which never changes once it is there, and how far it is, which
// the server alone writes. Everything but Work, Run, Parts and StepOf is shown to whoever may read jobs, environment variables and literal inputs too.
type Job struct {
	JobType        string            `json:"jobType"` // Command, Pipeline or Spark, as the original names materialization jobs
	DisplayName    string            `json:"displayName,omitempty"`
	Description    string            `json:"description,omitempty"`
	ExperimentName string            `json:"experimentName,omitempty"`
	ComponentID    string            `json:"componentId,omitempty"`
	Status         string            `json:"status"` // one of the states below
	ComputeID      string            `json:"computeId,omitempty"`
	Identity       *JobIdentity      `json:"identity,omitempty"`
	Tags           map[string]string `json:"tags,omitempty"`
	Properties     map[string]string `json:"properties,omitempty"`

	// Of command jobs; inputs and outputs are of pipelines too.
	Command              string                `json:"command,omitempty"`
	CodeID               string                `json:"codeId,omitempty"`
	EnvironmentID        string                `json:"environmentId,omitempty"`
	EnvironmentVariables map[string]string     `json:"environmentVariables,omitempty"`
	Inputs               map[string]*JobInput  `json:"inputs,omitempty"`
	Outputs              map[string]*JobOutput `json:"outputs,omitempty"`
	Distribution         *Distribution         `json:"distribution,omitempty"`
	Limits               *JobLimits            `json:"limits,omitempty"`
	Resources            *JobResources         `json:"resources,omitempty"`
	QueueSettings        *QueueSettings        `json:"queueSettings,omitempty"`
	Parameters           json.RawMessage       `json:"parameters,omitempty"` // what clients send along; nothing is read of it

	// Of pipelines.
	Jobs        map[string]json.RawMessage `json:"jobs,omitempty"`
	Settings    json.RawMessage            `json:"settings,omitempty"`
	SourceJobID string                     `json:"sourceJobId,omitempty"`

	Services            map[string]*JobService `json:"services,omitempty"`
	NotificationSetting json.RawMessage        `json:"notificationSetting,omitempty"`
	StartTime           *time.Time             `json:"startTime,omitempty"`
	EndTime             *time.Time             `json:"endTime,omitempty"`
	Error               *JobError              `json:"error,omitempty"`
	IsArchived          bool                   `json:"isArchived"`

	// Never shown.
	Work  *Work           `json:"work,omitempty"`  // of a materialization job
	Run   *CommandRun     `json:"run,omitempty"`   // of a command job
	Parts json.RawMessage `json:"parts,omitempty"` // of a pipeline: how far its jobs are
	// StepOf tells, of the job of a step, which pipeline submitted it: the key of that pipeline's run, which nobody else knows.
	StepOf string `json:"stepOf,omitempty"`
}

// JobError is why a job failed.
type JobError struct {
	Code    string `json:"code"`
	Message string `json:"message"`
}

// JobIdentity is as whom a job runs: Managed is the compute's identity, which the ids may pick among several; UserIdentity is the
// submitter; AMLToken is nobody.
type JobIdentity struct {
	IdentityType string `json:"identityType"`
	ClientID     string `json:"clientId,omitempty"`
	ObjectID     string `json:"objectId,omitempty"`
	ResourceID   string `json:"resourceId,omitempty"`
}

// JobInput is what a job reads: a literal value, or a file or folder by its URI or by the id of an asset.
type JobInput struct {
	JobInputType  string `json:"jobInputType"` // literal, uri_file, uri_folder, custom_model, mlflow_model or triton_model
	Description   string `json:"description,omitempty"`
	Value         string `json:"value,omitempty"`
	URI           string `json:"uri,omitempty"`
	Mode          string `json:"mode,omitempty"`
	PathOnCompute string `json:"pathOnCompute,omitempty"`
}

// JobOutput is what a job writes: a file or folder that is stored at its URI when the job has ended.
type JobOutput struct {
	JobOutputType string `json:"jobOutputType"` // uri_file, uri_folder, custom_model, mlflow_model or triton_model
	Description   string `json:"description,omitempty"`
	URI           string `json:"uri,omitempty"`
	Mode          string `json:"mode,omitempty"`
	AssetName     string `json:"assetName,omitempty"`
	AssetVersion  string `json:"assetVersion,omitempty"`
	PathOnCompute string `json:"pathOnCompute,omitempty"`
}

// Distribution is how the nodes of a job find each other.
type Distribution struct {
	DistributionType        string `json:"distributionType"` // PyTorch, Mpi or TensorFlow
	ProcessCountPerInstance *int   `json:"processCountPerInstance,omitempty"`
	ParameterServerCount    *int   `json:"parameterServerCount,omitempty"`
	WorkerCount             *int   `json:"workerCount,omitempty"`
}

// JobLimits bounds how long a job runs.
type JobLimits struct {
	JobLimitsType string `json:"jobLimitsType,omitempty"` // Command
	Timeout       string `json:"timeout,omitempty"`       // ISO 8601, such as PT30M
}

// JobResources is what a job takes of its compute. Of Properties, memory (such as 2Gi) and cpu (such as 1.5) bound each node.
type JobResources struct {
	InstanceCount int                        `json:"instanceCount,omitempty"` // nodes
	InstanceType  string                     `json:"instanceType,omitempty"`
	ShmSize       string                     `json:"shmSize,omitempty"`
	DockerArgs    string                     `json:"dockerArgs,omitempty"`
	Properties    map[string]json.RawMessage `json:"properties,omitempty"`
}

// QueueSettings is how a job is queued.
type QueueSettings struct {
	JobTier  string `json:"jobTier,omitempty"`
	Priority *int   `json:"priority,omitempty"`
}

// JobService is where something of a job is found.
type JobService struct {
	JobServiceType string            `json:"jobServiceType,omitempty"`
	Endpoint       string            `json:"endpoint,omitempty"`
	Port           *int              `json:"port,omitempty"`
	Status         string            `json:"status,omitempty"`
	ErrorMessage   string            `json:"errorMessage,omitempty"`
	Properties     map[string]string `json:"properties,omitempty"`
	Nodes          json.RawMessage   `json:"nodes,omitempty"`
}

// Work is what a materialization job is to do.
type Work struct {
	Version     resource.ID   `json:"version"`
	Window      ledger.Window `json:"window"`
	Offline     bool          `json:"offline"`
	Online      bool          `json:"online"`
	MemoryLimit int64         `json:"memoryLimit,omitempty"` // bytes; 0 is the server's default
	Submitter   string        `json:"submitter"`             // object id
}

// CommandRun is how a command job is carried out.
type CommandRun struct {
	ID        string          `json:"id"`                 // of the run, and of nothing else ever
	Submitter string          `json:"submitter"`          // object id
	Order     *workload.Order `json:"order"`              // what is run; its image is known from Preparing on
	Placed    bool            `json:"placed,omitempty"`   // it has nodes, so that the run may have been begun
	Launched  bool            `json:"launched,omitempty"` // the run was begun
	LogHead   int64           `json:"logHead,omitempty"`  // bytes of the log before the run's own output, once it was begun
	LogBody   int64           `json:"logBody,omitempty"`  // bytes of the run's own output, once the job has ended
	Failures  int             `json:"failures,omitempty"` // how often the machine failed it
}

// The states of a job.
const (
	jobNotStarted      = "NotStarted"
	jobQueued          = "Queued"    // waits for nodes
	jobPreparing       = "Preparing" // its image is built and pulled, its files are brought
	jobStarting        = "Starting"
	jobRunning         = "Running"
	jobFinalizing      = "Finalizing" // what it left is stored
	jobCancelRequested = "CancelRequested"
	jobCompleted       = "Completed"
	jobFailed          = "Failed"
	jobCanceled        = "Canceled"
)

func (j Job) ended() bool {
	return j.Status == jobCompleted || j.Status == jobFailed || j.Status == jobCanceled
}
