package cli

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/alvara-ml/alvara/cli/document"
)

// assetsOf brings what a file names into the form of the wire: files of this machine are uploaded, names become ids.
type assetsOf interface {
	// code gives the id of a version of code.
	code(what, folder string) (string, error)
	// local uploads a file or a folder and gives its URI, and whether it is a folder.
	local(what, path string) (uri string, folder bool, err error)
	// context uploads the folder of a Dockerfile and gives its URI.
	context(what, folder, dockerfile string) (uri string, err error)
	// environment gives the id of a version of an environment; folder is where the paths in an inline one begin.
	environment(what string, given any, folder string) (string, error)
	// version gives the id of a version of an asset: azureml:NAME:VERSION, azureml:NAME@latest or an id.
	version(what, collection, text string) (string, error)
	// register gives the id of a version of an asset, which it makes unless it is there.
	register(collection, name, version string, properties *document.Object) (string, error)
	// compute gives the id of a compute.
	compute(what, name string) (string, error)
}

// jobFile reads a job of a YAML file.
type jobFile struct {
	folder string // where the file's paths begin
	assets assetsOf
}

// jobFields are what a job of any type may have in its file.
var jobFields = []string{"type", "name", "display_name", "experiment_name", "description", "tags", "properties", "compute", "identity", "inputs", "outputs"}

var commandFields = append(slices.Clone(jobFields), "command", "code", "environment", "environment_variables", "resources", "distribution", "limits", "queue_settings")

// properties gives a job as it is on the wire.
func (f jobFile) properties(given *document.Object) (*document.Object, error) {
	switch kind := given.Text("type"); strings.ToLower(kind) {
	case "", "command":
		return f.command("the job", given)
	case "pipeline":
		return f.pipeline(given)
	case "spark":
		return nil, usagef("type is spark: materialization jobs are made by `alvara ml feature-set backfill`, and others run here as command jobs")
	default:
		return nil, usagef("type is %q; command or pipeline was expected", kind)
	}
}

// base reads what all jobs have.
func (f jobFile) base(where, kind string, given *document.Object) (*document.Object, error) {
	out := document.New("jobType", kind).SetIf("displayName", given.Text("display_name")).SetIf("experimentName", given.Text("experiment_name")).
		SetIf("description", given.Text("description"))
	for _, name := range []string{"tags", "properties"} {
		texts, err := textsOf(where, name, given)
		if err != nil {
			return nil, err
		}
		out.SetIf(name, texts)
	}
	if compute := given.Text("compute"); compute != "" {
		id, err := f.assets.compute(where+": compute", compute)
		if err != nil {
			return nil, err
		}
		out.Set("computeId", id)
	}
	identity, err := jobIdentityOf(where, given)
	if err != nil {
		return nil, err
	}
	return out.SetIf("identity", identity), nil
}

// command reads a command job.
func (f jobFile) command(where string, given *document.Object) (*document.Object, error) {
	if err := knownFields(where, given, commandFields...); err != nil {
		return nil, err
	}
	if given.Text("command") == "" {
		return nil, usagef("%s: command is missing; the command line that runs was expected", where)
	}
	out, err := f.base(where, "Command", given)
	if err != nil {
		return nil, err
	}
	out.Set("command", given.Text("command"))
	if code := given.Text("code"); code != "" {
		id, err := f.codeOf(where+": code", code)
		if err != nil {
			return nil, err
		}
		out.Set("codeId", id)
	}
	if environment := given.Get("environment"); environment != nil {
		id, err := f.assets.environment(where+": environment", environment, f.folder)
		if err != nil {
			return nil, err
		}
		out.Set("environmentId", id)
	}
	variables, err := textsOf(where, "environment_variables", given)
	if err != nil {
		return nil, err
	}
	out.SetIf("environmentVariables", variables)
	if err := f.exchange(where, given, out); err != nil {
		return nil, err
	}
	return out, jobSettings(where, given, out)
}

// codeOf gives the id of code: that of a folder of this machine, or of a version that there is.
func (f jobFile) codeOf(what, text string) (string, error) {
	if localPath(text) {
		return f.assets.code(what, f.path(text))
	}
	return f.assets.version(what, "codes", text)
}

// exchange reads inputs and outputs.
func (f jobFile) exchange(where string, given, out *document.Object) error {
	inputs, outputs := document.New(), document.New()
	for _, part := range []struct {
		field string
		to    *document.Object
		read  func(where string, value any) (*document.Object, error)
	}{{"inputs", inputs, f.input}, {"outputs", outputs, f.output}} {
		from, ok := given.Get(part.field).(*document.Object)
		if given.Get(part.field) != nil && !ok {
			return usagef("%s: %s is no mapping; lines such as `NAME: …` were expected", where, part.field)
		}
		for _, name := range from.Keys() {
			value, err := part.read(where+": "+part.field+"."+name, from.Get(name))
			if err != nil {
				return err
			}
			part.to.Set(name, value)
		}
	}
	out.SetIf("inputs", inputs).SetIf("outputs", outputs)
	return nil
}

// exchangeTypes are the types of files and folders that jobs read and write.
var exchangeTypes = []string{"uri_folder", "uri_file", "mltable", "custom_model", "mlflow_model", "triton_model"}

var inputModes = map[string]string{"ro_mount": "ReadOnlyMount", "mount": "ReadOnlyMount", "rw_mount": "ReadWriteMount", "download": "Download", "direct": "Direct",
	"eval_mount": "EvalMount", "eval_download": "EvalDownload"}

var outputModes = map[string]string{"rw_mount": "ReadWriteMount", "mount": "ReadWriteMount", "upload": "Upload", "direct": "Direct"}

// input reads one input: a value, or where a file or a folder is.
func (f jobFile) input(where string, value any) (*document.Object, error) {
	given, ok := value.(*document.Object)
	if !ok {
		text, err := literal(where, value)
		if err != nil {
			return nil, err
		}
		return document.New("jobInputType", "literal", "value", text), nil
	}
	if given.Has("value") && !given.Has("path") {
		if err := knownFields(where, given, "type", "value", "description"); err != nil {
			return nil, err
		}
		text, err := literal(where+".value", given.Get("value"))
		if err != nil {
			return nil, err
		}
		return document.New("jobInputType", "literal", "value", text).SetIf("description", given.Text("description")), nil
	}
	if err := knownFields(where, given, "type", "path", "mode", "description"); err != nil {
		return nil, err
	}
	kind, err := exchangeType(where, given)
	if err != nil {
		return nil, err
	}
	mode, err := modeOf(where, given.Text("mode"), inputModes)
	if err != nil {
		return nil, err
	}
	path := given.Text("path")
	if path == "" {
		return nil, usagef("%s has no path; a file or a folder of this machine, a URI, or azureml:NAME:VERSION was expected", where)
	}
	if localPath(path) {
		uri, folder, err := f.assets.local(where, f.path(path))
		if err != nil {
			return nil, err
		}
		switch {
		case kind == "" && !folder, kind == "" && folder:
			kind = map[bool]string{true: "uri_folder", false: "uri_file"}[folder]
		case kind == "uri_file" && folder:
			return nil, usagef("%s is a uri_file, and %s is a folder; say type: uri_folder", where, path)
		case (kind == "uri_folder" || kind == "mltable") && !folder:
			return nil, usagef("%s is a %s, and %s is a file; say type: uri_file", where, kind, path)
		}
		path = uri
	}
	if kind == "" && !strings.Contains(path, "${{parent.") { // what is bound has the type of what it is bound to
		kind = "uri_folder"
	}
	return document.New().SetIf("jobInputType", kind).Set("uri", assetReference(path)).SetIf("mode", mode).SetIf("description", given.Text("description")), nil
}

// output reads one output; nothing at all is a folder of the job's own.
func (f jobFile) output(where string, value any) (*document.Object, error) {
	given, ok := value.(*document.Object)
	if text, isText := value.(string); isText && strings.Contains(text, "${{parent.") {
		given, ok = document.New("path", text), true
	}
	if !ok && value != nil {
		return nil, usagef("%s is %v; a mapping with type and path was expected, or nothing", where, value)
	}
	if err := knownFields(where, given, "type", "path", "mode", "description", "name", "version"); err != nil {
		return nil, err
	}
	kind, err := exchangeType(where, given)
	if err != nil {
		return nil, err
	}
	mode, err := modeOf(where, given.Text("mode"), outputModes)
	if err != nil {
		return nil, err
	}
	path := given.Text("path")
	if path != "" && localPath(path) {
		return nil, usagef("%s: %s is on this machine; a job writes into storage, such as azureml://datastores/workspaceblobstore/paths/FOLDER/, and `alvara ml job download` brings it here", where, path)
	}
	if kind == "" && !strings.Contains(path, "${{parent.") {
		kind = "uri_folder"
	}
	return document.New().SetIf("jobOutputType", kind).SetIf("uri", path).SetIf("mode", mode).SetIf("description", given.Text("description")).
		SetIf("assetName", given.Text("name")).SetIf("assetVersion", given.Text("version")), nil
}

func exchangeType(where string, given *document.Object) (string, error) {
	kind := strings.ToLower(given.Text("type"))
	if kind != "" && !slices.Contains(exchangeTypes, kind) {
		return "", usagef("%s: type is %q; one of these was expected: %s", where, given.Text("type"), strings.Join(exchangeTypes, ", "))
	}
	return kind, nil
}

func modeOf(where, text string, modes map[string]string) (string, error) {
	if text == "" {
		return "", nil
	}
	if mode, ok := modes[strings.ToLower(text)]; ok {
		return mode, nil
	}
	known := make([]string, 0, len(modes))
	for word := range modes {
		known = append(known, word)
	}
	slices.Sort(known)
	return "", usagef("%s: mode is %q; one of these was expected: %s", where, text, strings.Join(known, ", "))
}

// path is a path of the file, seen from where the command runs.
func (f jobFile) path(text string) string {
	text = strings.TrimPrefix(text, "file://")
	if filepath.IsAbs(text) {
		return text
	}
	return filepath.Join(f.folder, filepath.FromSlash(text))
}

// localPath tells the paths of this machine from URIs, names of assets, and ids.
func localPath(text string) bool {
	if strings.HasPrefix(text, "file://") {
		return true
	}
	lower := strings.ToLower(text)
	return !remote.MatchString(lower) && !strings.HasPrefix(lower, "azureml:") && !strings.HasPrefix(lower, "/subscriptions/") && !strings.Contains(text, "${{")
}

// assetReference writes the id of an asset without the prefix that files may put before it.
func assetReference(text string) string {
	if rest, ok := strings.CutPrefix(text, "azureml:/"); ok && !strings.HasPrefix(rest, "/") {
		return "/" + rest
	}
	return text
}

// literal is a value as the command line that runs gets it.
func literal(where string, value any) (string, error) {
	switch v := value.(type) {
	case nil:
		return "", usagef("%s has no value", where)
	case string:
		return v, nil
	case []any, *document.Object:
		return "", usagef("%s is a list or a mapping; a text, a number or true or false was expected", where)
	case float64:
		return strconv.FormatFloat(v, 'g', -1, 64), nil
	default:
		return fmt.Sprint(v), nil
	}
}

// textsOf reads a mapping of names to texts.
func textsOf(where, field string, given *document.Object) (*document.Object, error) {
	value := given.Get(field)
	if value == nil {
		return nil, nil
	}
	from, ok := value.(*document.Object)
	if !ok {
		return nil, usagef("%s: %s is no mapping; lines such as `NAME: VALUE` were expected", where, field)
	}
	out := document.New()
	for _, name := range from.Keys() {
		text, err := literal(where+": "+field+"."+name, from.Get(name))
		if err != nil {
			return nil, err
		}
		out.Set(name, text)
	}
	return out, nil
}

// exists tells whether a path leads to something.
func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
