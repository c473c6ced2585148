package machinelearning

import (
	"strings"

	"github.com/alvara-ml/alvara/arm"
	"github.com/alvara-ml/alvara/resource"
)

// listed is what lists of assets filter by.
type listed struct {
	stage, description string
	tags               map[string]string
	archived           bool
}

// assetsListed reads the query of a list of assets: listViewType (ActiveOnly, which is the default, ArchivedOnly or All),
// name or version, stage, createdBy, a part of the description, and tags as name or name=value, parted by commas.
func assetsListed[P any](of func(*arm.Resource[P]) listed) func(*arm.Call) (func(*arm.Resource[P]) bool, error) {
	return func(call *arm.Call) (func(*arm.Resource[P]) bool, error) {
		view, err := viewOf(call)
		if err != nil {
			return nil, err
		}
		is := func(parameter, value string) bool {
			want := call.QueryValue(parameter)
			return want == "" || strings.EqualFold(want, value)
		}
		tags, description := pairsOf(call.QueryValue("tags")), strings.ToLower(call.QueryValue("description"))
		return func(r *arm.Resource[P]) bool {
			item, creator := of(r), ""
			if r.SystemData != nil {
				creator = r.SystemData.CreatedBy
			}
			return view(item.archived) && is("name", r.Name) && is("version", r.Name) && is("versionName", r.Name) && is("stage", item.stage) &&
				is("createdBy", creator) && strings.Contains(strings.ToLower(item.description), description) && tags.in(item.tags)
		}, nil
	}
}

// viewOf reads listViewType.
func viewOf(call *arm.Call) (func(archived bool) bool, error) {
	switch view := call.QueryValue("listViewType"); strings.ToLower(view) {
	case "", "activeonly":
		return func(archived bool) bool { return !archived }, nil
	case "archivedonly":
		return func(archived bool) bool { return archived }, nil
	case "all":
		return func(bool) bool { return true }, nil
	default:
		return nil, resource.Invalidf("InvalidParameter", "listViewType is %q; ActiveOnly, ArchivedOnly or All was expected", view).At("listViewType")
	}
}

// pairs are names, each with the value that it must have, or nil when any will do.
type pairs map[string]*string

func pairsOf(text string) pairs {
	out := pairs{}
	for _, part := range strings.Split(text, ",") {
		name, value, given := strings.Cut(strings.TrimSpace(part), "=")
		if name == "" {
			continue
		}
		out[name] = nil
		if given {
			out[name] = &value
		}
	}
	return out
}

func (p pairs) in(have map[string]string) bool {
	for name, want := range p {
		value, has := have[name]
		if !has || (want != nil && !strings.EqualFold(*want, value)) {
			return false
		}
	}
	return true
}

// jobsListed reads the query of the list of jobs: jobType, status, experimentName, tag, properties as name or name=value, parted by commas,
// parentJobName, the pipeline whose steps are wanted, and listViewType.
func jobsListed(call *arm.Call) (func(*arm.Resource[Job]) bool, error) {
	view, err := viewOf(call)
	if err != nil {
		return nil, err
	}
	status, experiment := call.QueryValue("status"), call.QueryValue("experimentName")
	jobType, properties, tags := call.QueryValue("jobType"), pairsOf(call.QueryValue("properties")), pairsOf(call.QueryValue("tag"))
	if parent := call.QueryValue("parentJobName"); parent != "" {
		properties[pipelineProperty] = &parent
	}
	return func(r *arm.Resource[Job]) bool {
		p := r.Properties
		return view(p.IsArchived) && (jobType == "" || strings.EqualFold(jobType, p.JobType)) && (status == "" || strings.EqualFold(status, p.Status)) &&
			(experiment == "" || strings.EqualFold(experiment, p.ExperimentName)) && properties.in(p.Properties) && tags.in(p.Tags)
	}, nil
}

// datastoresListed reads the query of the list of datastores: isDefault, names and searchText, a part of the name.
func datastoresListed(call *arm.Call) (func(*arm.Resource[Datastore]) bool, error) {
	isDefault, text := call.QueryValue("isDefault"), strings.ToLower(call.QueryValue("searchText"))
	named := map[string]bool{}
	for _, name := range strings.FieldsFunc(call.QueryValue("names"), func(c rune) bool { return c == ',' || c == ' ' }) {
		named[strings.ToLower(name)] = true
	}
	return func(r *arm.Resource[Datastore]) bool {
		name := strings.ToLower(r.Name)
		return (isDefault == "" || strings.EqualFold(isDefault, "true") == r.Properties.IsDefault) && strings.Contains(name, text) && (len(named) == 0 || named[name])
	}, nil
}

// connectionsListed reads the query of the list of connections: target and category.
func connectionsListed(call *arm.Call) (func(*arm.Resource[Connection]) bool, error) {
	target, category := call.QueryValue("target"), call.QueryValue("category")
	return func(r *arm.Resource[Connection]) bool {
		return (target == "" || strings.EqualFold(target, r.Properties.Target)) && (category == "" || strings.EqualFold(category, r.Properties.Category))
	}, nil
}
