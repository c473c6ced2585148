package cli

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/alvara-ml/alvara/cli/document"
)

// jobIdentityOf reads as whom a job runs. nil is what the server takes without a word: the compute's identity.
func jobIdentityOf(where string, given *document.Object) (*document.Object, error) {
	value := given.Get("identity")
	identity, ok := value.(*document.Object)
	switch {
	case value == nil:
		return nil, nil
	case !ok:
		identity = document.New("type", value) // `identity: user_identity`
	}
	where += ": identity"
	if err := knownFields(where, identity, "type", "client_id", "object_id", "resource_id", "msi_resource_id"); err != nil {
		return nil, err
	}
	kind := ""
	switch word := strings.ToLower(strings.ReplaceAll(identity.Text("type"), "_", "")); word {
	case "managed", "managedidentity":
		kind = "Managed"
	case "user", "useridentity":
		kind = "UserIdentity"
	case "amltoken":
		kind = "AMLToken"
	default:
		return nil, usagef("%s.type is %q; managed, user_identity or aml_token was expected", where, identity.Text("type"))
	}
	out := document.New("identityType", kind).SetIf("clientId", identity.Text("client_id")).SetIf("objectId", identity.Text("object_id")).
		SetIf("resourceId", first(identity.Text("resource_id"), identity.Text("msi_resource_id")))
	if kind != "Managed" && out.Len() > 1 {
		return nil, usagef("%s names an identity, which goes with type: managed alone", where)
	}
	return out, nil
}

// jobSettings reads what a command job takes of its compute and how long it may.
func jobSettings(where string, given, out *document.Object) error {
	for _, part := range []struct {
		field, wire string
		read        func(where string, given *document.Object) (*document.Object, error)
	}{
		{"resources", "resources", resourcesOf}, {"distribution", "distribution", distributionOf}, {"limits", "limits", limitsOf}, {"queue_settings", "queueSettings", queueOf},
	} {
		value := given.Get(part.field)
		if value == nil {
			continue
		}
		from, ok := value.(*document.Object)
		if !ok {
			return usagef("%s: %s is no mapping", where, part.field)
		}
		read, err := part.read(where+": "+part.field, from)
		if err != nil {
			return err
		}
		out.SetIf(part.wire, read)
	}
	return nil
}

func resourcesOf(where string, given *document.Object) (*document.Object, error) {
	if err := knownFields(where, given, "instance_count", "instance_type", "shm_size", "docker_args", "properties"); err != nil {
		return nil, err
	}
	out := document.New()
	if err := wholeNumber(where, given, "instance_count", "instanceCount", 1, out); err != nil {
		return nil, err
	}
	return out.SetIf("instanceType", given.Text("instance_type")).SetIf("shmSize", given.Text("shm_size")).SetIf("dockerArgs", given.Text("docker_args")).
		SetIf("properties", given.Object("properties")), nil
}

func distributionOf(where string, given *document.Object) (*document.Object, error) {
	kinds := map[string]string{"pytorch": "PyTorch", "mpi": "Mpi", "tensorflow": "TensorFlow"}
	kind, ok := kinds[strings.ToLower(given.Text("type"))]
	if !ok {
		return nil, usagef("%s.type is %q; pytorch, mpi or tensorflow was expected", where, given.Text("type"))
	}
	fields := []string{"process_count_per_instance"}
	if kind == "TensorFlow" {
		fields = []string{"parameter_server_count", "worker_count"}
	}
	if err := knownFields(where, given, append([]string{"type"}, fields...)...); err != nil {
		return nil, err
	}
	out := document.New("distributionType", kind)
	for _, field := range fields {
		if err := wholeNumber(where, given, field, camel(field), 0, out); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func limitsOf(where string, given *document.Object) (*document.Object, error) {
	if err := knownFields(where, given, "timeout"); err != nil {
		return nil, err
	}
	seconds := document.New()
	if err := wholeNumber(where, given, "timeout", "timeout", 1, seconds); err != nil || seconds.Len() == 0 {
		return nil, err
	}
	return document.New("jobLimitsType", "Command", "timeout", fmt.Sprintf("PT%sS", seconds.Text("timeout"))), nil
}

func queueOf(where string, given *document.Object) (*document.Object, error) {
	if err := knownFields(where, given, "job_tier", "priority"); err != nil {
		return nil, err
	}
	out := document.New().SetIf("jobTier", given.Text("job_tier"))
	if priority := strings.ToLower(given.Text("priority")); priority != "" {
		n, ok := map[string]int{"low": 1, "medium": 2, "high": 3}[priority]
		if !ok {
			return nil, usagef("%s.priority is %q; low, medium or high was expected", where, priority)
		}
		out.Set("priority", n)
	}
	return out, nil
}

// wholeNumber copies a number of a file to the wire; what is not given stays away.
func wholeNumber(where string, given *document.Object, field, wire string, least int, out *document.Object) error {
	value := given.Get(field)
	if value == nil {
		return nil
	}
	n, err := strconv.Atoi(fmt.Sprint(value))
	if err != nil || n < least {
		return usagef("%s.%s is %v; a whole number of %d or more was expected", where, field, value, least)
	}
	out.Set(wire, n)
	return nil
}
