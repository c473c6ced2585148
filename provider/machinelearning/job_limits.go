package machinelearning

import (
	"encoding/json"
	"maps"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/alvara-ml/alvara/arm"
	"github.com/alvara-ml/alvara/featurestore/spec"
	"github.com/alvara-ml/alvara/job"
	"github.com/alvara-ml/alvara/resource"
)

const (
	leastMemory = 4 << 20 // bytes that a node must be given
	mostCPUs    = 1024
)

// settleLimits reads what a job takes, and completes it: one node, and the limits that are the launcher's own.
func settleLimits(p *Job, compute *arm.Resource[Compute]) (job.Limits, error) {
	var out job.Limits
	if p.Resources == nil {
		p.Resources = &JobResources{}
	}
	r := p.Resources
	const base = "properties.resources."
	switch {
	case r.InstanceCount == 0:
		r.InstanceCount = 1
	case r.InstanceCount < 0:
		return out, resource.Invalidf("InvalidJob", "%sinstanceCount is %d; 1 or more was expected", base, r.InstanceCount).At(base + "instanceCount")
	}
	if r.DockerArgs != "" {
		return out, resource.Errorf(resource.Unsupported, "NotSupported", "%sdockerArgs: no docker runs the job; leave the field out, and bound the job with %sproperties.memory and cpu", base, base).At(base + "dockerArgs")
	}
	if r.ShmSize != "" {
		if _, err := bytesOf(r.ShmSize); err != nil {
			return out, resource.Invalidf("InvalidJob", "%sshmSize is %q; a size such as 2g was expected", base, r.ShmSize).At(base + "shmSize")
		}
	}
	if p.Limits != nil && p.Limits.Timeout != "" {
		const field = "properties.limits.timeout"
		timeout, err := spec.ParseISODuration(p.Limits.Timeout)
		if err != nil || timeout <= 0 {
			return out, resource.Invalidf("InvalidJob", "%s is %q; an ISO 8601 duration such as PT30M was expected", field, p.Limits.Timeout).At(field)
		}
		out.Timeout = timeout
	}
	if p.Limits != nil && p.Limits.JobLimitsType != "" && !strings.EqualFold(p.Limits.JobLimitsType, "Command") {
		return out, resource.Invalidf("InvalidJob", "properties.limits.jobLimitsType is %q; Command was expected", p.Limits.JobLimitsType).At("properties.limits.jobLimitsType")
	}
	if err := instanceLimits(r, compute, &out); err != nil {
		return out, err
	}
	for _, name := range slices.Sorted(maps.Keys(r.Properties)) {
		field, text := base+"properties."+name, plainText(r.Properties[name])
		var err error
		switch {
		case strings.EqualFold(name, "memory"):
			out.Memory, err = memoryOf(field, text)
		case strings.EqualFold(name, "cpu"):
			out.CPUs, err = cpusOf(field, text)
		default:
			err = resource.Invalidf("InvalidJob", "%s is unknown; memory, such as 2Gi, and cpu, such as 1.5, are what bounds each node", field).At(field)
		}
		if err != nil {
			return out, err
		}
	}
	return out, nil
}

// instanceLimits reads the instance type of a job on Kubernetes, which bounds it.
func instanceLimits(r *JobResources, compute *arm.Resource[Compute], out *job.Limits) error {
	const field = "properties.resources.instanceType"
	if compute.Properties.ComputeType != "Kubernetes" {
		var size struct{ VMSize string }
		_ = json.Unmarshal(compute.Properties.Properties, &size) // of the compute's own making
		if r.InstanceType != "" && !strings.EqualFold(r.InstanceType, size.VMSize) {
			return resource.Invalidf("InvalidJob", "%s is %q and the nodes of %s are %s; leave the field out", field, r.InstanceType, compute.Name, size.VMSize).At(field)
		}
		return nil
	}
	var k kubernetes
	if err := json.Unmarshal(compute.Properties.Properties, &k); err != nil {
		return err
	}
	name := r.InstanceType
	if name == "" {
		name = k.DefaultInstanceType
	}
	kind, known := k.InstanceTypes[name]
	switch {
	case known:
	case r.InstanceType == "" || strings.EqualFold(name, "defaultinstancetype"):
		return nil
	default:
		return resource.Invalidf("InvalidJob", "%s is %q, and %s has %s", field, name, compute.Name, strings.Join(slices.Sorted(maps.Keys(k.InstanceTypes)), ", ")).At(field)
	}
	var err error
	if amount := kind.Resources.Limits["memory"]; amount != nil {
		if out.Memory, err = memoryOf(field, *amount); err != nil {
			return err
		}
	}
	if amount := kind.Resources.Limits["cpu"]; amount != nil {
		out.CPUs, err = cpusOf(field, *amount)
	}
	return err
}

// plainText is a JSON text or number as text.
func plainText(raw json.RawMessage) string {
	var text string
	if json.Unmarshal(raw, &text) == nil {
		return text
	}
	return string(raw)
}

var sizeText = regexp.MustCompile(`^([0-9]+(?:\.[0-9]+)?)\s*([kmgtKMGT]?)([iI]?)([bB]?)$`)

// bytesOf reads a size: 512m and 2g as docker means them, 512Mi and 2Gi, 2GB, or bytes.
func bytesOf(text string) (int64, error) {
	parts := sizeText.FindStringSubmatch(strings.TrimSpace(text))
	if parts == nil {
		return 0, strconv.ErrSyntax
	}
	count, err := strconv.ParseFloat(parts[1], 64)
	if err != nil {
		return 0, err
	}
	power := strings.Index("kmgt", strings.ToLower(parts[2])) + 1
	if parts[2] == "" {
		power = 0
	}
	size := count * math.Pow(1024, float64(power))
	if size > 1<<60 {
		return 0, strconv.ErrRange
	}
	return int64(size), nil
}

func memoryOf(field, text string) (int64, error) {
	size, err := bytesOf(text)
	if err != nil || size < leastMemory {
		return 0, resource.Invalidf("InvalidJob", "%s is %q; a size from %d MiB, such as 2Gi or 512Mi, was expected", field, text, leastMemory>>20).At(field)
	}
	return size, nil
}

func cpusOf(field, text string) (float64, error) {
	rest, milli := strings.CutSuffix(text, "m")
	count, err := strconv.ParseFloat(rest, 64)
	if milli {
		count /= 1000
	}
	if err != nil || !(count >= 0.01 && count <= mostCPUs) {
		return 0, resource.Invalidf("InvalidJob", "%s is %q; a number of processors such as 2, 1.5 or 500m was expected", field, text).At(field)
	}
	return count, nil
}

// settleDistribution checks how a job's nodes find each other. Each node runs the command once and is told its rank, as PyTorch reads it
// (RANK, WORLD_SIZE, MASTER_ADDR, MASTER_PORT).
func settleDistribution(p *Job) error {
	const field = "properties.distribution"
	dist := p.Distribution
	if dist == nil {
		return nil
	}
	known := ""
	for _, name := range []string{"PyTorch", "Mpi", "TensorFlow"} {
		if strings.EqualFold(dist.DistributionType, name) {
			known = name
		}
	}
	nodes := p.Resources.InstanceCount
	switch {
	case known == "":
		return resource.Invalidf("InvalidJob", "%s.distributionType is %q; PyTorch, Mpi or TensorFlow was expected", field, dist.DistributionType).At(field + ".distributionType")
	case dist.ProcessCountPerInstance != nil && *dist.ProcessCountPerInstance != 1 && *dist.ProcessCountPerInstance != 0:
		return resource.Errorf(resource.Unsupported, "NotSupported", "%s.processCountPerInstance is %d, and each node runs the command once; ask for that many nodes with properties.resources.instanceCount, or have the command start its processes, as torchrun does", field, *dist.ProcessCountPerInstance).At(field + ".processCountPerInstance")
	case known == "Mpi" && nodes > 1:
		return resource.Errorf(resource.Unsupported, "NotSupported", "%s.distributionType is Mpi, and nothing starts MPI processes across nodes here; use PyTorch, whose nodes find each other by MASTER_ADDR and RANK, or one node", field).At(field + ".distributionType")
	case dist.ParameterServerCount != nil && *dist.ParameterServerCount > 0:
		return resource.Errorf(resource.Unsupported, "NotSupported", "%s.parameterServerCount is %d, and all nodes are workers here; leave the field out", field, *dist.ParameterServerCount).At(field + ".parameterServerCount")
	case dist.WorkerCount != nil && *dist.WorkerCount > 0 && *dist.WorkerCount != nodes:
		return resource.Invalidf("InvalidJob", "%s.workerCount is %d and properties.resources.instanceCount %d; they are the same, leave the first one out", field, *dist.WorkerCount, nodes).At(field + ".workerCount")
	}
	dist.DistributionType = known
	return nil
}
