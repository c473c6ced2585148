package cli

import (
	"fmt"
	"io/fs"
	"maps"
	"net/http"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/alvara-ml/alvara/cli/document"
	"github.com/alvara-ml/alvara/featurestore/spec"
)

type featureSetGroup struct {
	Create                       featureSetCreate     `cmd:"" help:"Create a version of a feature set." example:"alvara ml feature-set create -f set.yaml --feature-store fs -g rg1"`
	Show                         featureSetShow       `cmd:"" help:"Show a version of a feature set." example:"alvara ml feature-set show -n transactions -v 1 --feature-store fs -g rg1"`
	List                         featureSetList       `cmd:"" help:"List feature sets, or the versions of one." example:"alvara ml feature-set list --feature-store fs -g rg1 -o table"`
	Update                       featureSetUpdate     `cmd:"" help:"Change stage, description, tags or materialization settings of a version; its schema stays." example:"alvara ml feature-set update -n transactions -v 1 --set materialization_settings.offline_enabled=true --feature-store fs -g rg1"`
	Archive                      featureSetArchive    `cmd:"" help:"Hide a version from lists." example:"alvara ml feature-set archive -n transactions -v 1 --feature-store fs -g rg1"`
	Restore                      featureSetRestore    `cmd:"" help:"Bring an archived version back." example:"alvara ml feature-set restore -n transactions -v 1 --feature-store fs -g rg1"`
	Delete                       featureSetDelete     `cmd:"" help:"Delete a version with its materialized data." example:"alvara ml feature-set delete -n transactions -v 1 --feature-store fs -g rg1 --yes"`
	Backfill                     featureSetBackfill   `cmd:"" help:"Materialize a window." example:"alvara ml feature-set backfill -n transactions -v 1 --feature-window-start-time 2023-01-01 --feature-window-end-time 2023-04-01 --data-status None Incomplete --feature-store fs -g rg1 --wait"`
	GetFeature                   featureSetFeature    `cmd:"" name:"get-feature" help:"Show one feature of a version." example:"alvara ml feature-set get-feature -n transactions -v 1 --feature-name transaction_3d_count --feature-store fs -g rg1"`
	ListFeature                  featureSetFeatures   `cmd:"" name:"list-feature" help:"List the features of a version." example:"alvara ml feature-set list-feature -n transactions -v 1 --feature-store fs -g rg1 -o table"`
	ListDataIntervals            featureSetIntervals  `cmd:"" name:"list-data-intervals" help:"List which spans of time are materialized, and how completely." example:"alvara ml feature-set list-data-intervals -n transactions -v 1 --feature-store fs -g rg1"`
	ListMaterializationOperation featureSetOperations `cmd:"" name:"list-materialization-operation" help:"List the materialization jobs of a version." example:"alvara ml feature-set list-materialization-operation -n transactions -v 1 --feature-store fs -g rg1 -o table"`
}

// featureSetDocument is a feature set as az prints it.
func featureSetDocument(version *document.Object) *document.Object {
	name, number := nameAndVersion(version)
	p := version.Object("properties")
	return document.New("name", name, "version", number, "description", p.Get("description"), "stage", p.Get("stage"),
		"entities", p.Get("entities"), "specification", document.New("path", p.Object("specification").Get("path")),
		"materialization_settings", settingsDocument(p.Object("materializationSettings")), "tags", p.Get("tags"),
		"is_archived", p.Get("isArchived"), "provisioning_state", p.Get("provisioningState"), "id", version.Get("id"), "creation_context", creation(version))
}

// maxSpecification is the most that the files of a specification may hold together, in bytes.
const maxSpecification = 1 << 20

// readSpecification reads the files that define a feature set: FeatureSetSpec.yaml and the texts beside it. A path with
// a scheme is left to the server, which reads it as the caller.
func readSpecification(yamlFile, specPath string) (*document.Object, error) {
	if specPath == "" || strings.Contains(specPath, "://") {
		return nil, nil
	}
	folder := filepath.FromSlash(specPath)
	if !filepath.IsAbs(folder) {
		folder = filepath.Join(filepath.Dir(yamlFile), folder)
	}
	if info, err := os.Stat(folder); err != nil {
		return nil, fmt.Errorf("%s: specification.path: %w; it is relative to the file", filepath.Base(yamlFile), err)
	} else if !info.IsDir() {
		return nil, fmt.Errorf("%s: specification.path names the file %s; the folder that holds %s was expected", filepath.Base(yamlFile), folder, spec.FileName)
	}
	files, err := readFolder(folder)
	if err != nil {
		return nil, err
	}
	content := document.New()
	for _, name := range slices.Sorted(maps.Keys(files)) {
		content.Set(name, string(files[name]))
	}
	return content, nil
}

// readFolder reads the files of a specification's folder and checks them; the server checks too, here the fault shows
// before anything is sent.
func readFolder(folder string) (map[string][]byte, error) {
	files := map[string][]byte{}
	total := 0
	err := filepath.WalkDir(folder, func(file string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if strings.HasPrefix(entry.Name(), ".") && file != folder {
			if entry.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		if !entry.Type().IsRegular() || !slices.Contains([]string{".yaml", ".yml", ".sql"}, strings.ToLower(path.Ext(entry.Name()))) {
			return nil
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		if total += int(info.Size()); total > maxSpecification {
			return fmt.Errorf("the folder %s holds more than %d bytes of specification; keep only %s and its SQL there", folder, maxSpecification, spec.FileName)
		}
		text, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		if !utf8.Valid(text) {
			return fmt.Errorf("%s is no UTF-8 text", file)
		}
		relative, err := filepath.Rel(folder, file)
		files[filepath.ToSlash(relative)] = text
		return err
	})
	if err != nil {
		return nil, err
	}
	_, err = spec.Parse(files)
	return files, err
}

type featureSetCreate struct {
	File    string `short:"f" type:"existingfile" required:"" help:"Feature set YAML; specification.path in it is relative to it."`
	Name    string `short:"n" help:"Name, in place of the file's."`
	Version string `short:"v" help:"Version, in place of the file's."`
	storeFlags
	NoWait bool `name:"no-wait" help:"Do not wait for the end."`
}

func (f *featureSetCreate) Run(c *Call) error {
	text, err := os.ReadFile(f.File)
	if err != nil {
		return err
	}
	given, err := spec.ParseFeatureSet(filepath.Base(f.File), text)
	if err != nil {
		return err
	}
	content, err := readSpecification(f.File, given.SpecificationPath)
	if err != nil {
		return err
	}
	at := assetFlags{Name: first(f.Name, given.Name), Version: first(f.Version, given.Version), storeFlags: f.storeFlags}
	path, err := at.path(c, featureSets)
	if err != nil {
		return err
	}
	properties := document.New("entities", entityRefs(given.Entities), "specification", document.New("path", given.SpecificationPath).SetIf("content", content)).
		Set("stage", string(given.Stage)).SetIf("description", given.Description).SetIf("tags", tagsDocument(given.Tags))
	if given.Materialization != nil {
		settings := document.New()
		applySettings(settings, given.Materialization)
		properties.Set("materializationSettings", settings)
	}
	made, err := c.armFinish(http.MethodPut, path, machineLearnAPI, document.New("properties", properties), "Creating feature set "+at.Name, f.NoWait)
	if err != nil {
		return err
	}
	return c.PrintColumns(featureSetDocument(made), assetColumns)
}

func entityRefs(refs []spec.VersionRef) []any {
	out := make([]any, len(refs))
	for i, ref := range refs {
		out[i] = "azureml:" + ref.String()
	}
	return out
}

type featureSetShow struct{ assetFlags }

func (f *featureSetShow) Run(c *Call) error {
	return c.showAsset(f.assetFlags, featureSets, featureSetDocument)
}

type featureSetList struct{ assetList }

func (f *featureSetList) Run(c *Call) error { return f.run(c, featureSets, featureSetDocument) }

type featureSetUpdate struct {
	Name    string `short:"n" help:"Name; may also stand in the file."`
	Version string `short:"v" help:"Version; may also stand in the file."`
	storeFlags
	File string   `short:"f" type:"existingfile" help:"YAML with the fields to change."`
	Set  []string `sep:"none" placeholder:"PATH=VALUE" help:"Fields to change by their path in the YAML, such as materialization_settings.online_enabled=true."`
	assetChange
}

func (f *featureSetUpdate) Run(c *Call) error {
	var files []*spec.FeatureSet
	var content *document.Object
	if f.File != "" {
		text, err := os.ReadFile(f.File)
		if err != nil {
			return err
		}
		given, err := spec.ParseFeatureSetUpdate(filepath.Base(f.File), text)
		if err != nil {
			return err
		}
		if content, err = readSpecification(f.File, given.SpecificationPath); err != nil {
			return err
		}
		f.Name, f.Version = first(f.Name, given.Name), first(f.Version, given.Version)
		files = append(files, given)
	}
	if len(f.Set) > 0 {
		tree, err := setTree(f.Set)
		if err != nil {
			return err
		}
		text, err := document.EncodeYAML(tree)
		if err != nil {
			return err
		}
		given, err := spec.ParseFeatureSetUpdate("--set", text)
		if err != nil {
			return err
		}
		files = append(files, given)
	}
	if f.Name == "" || f.Version == "" {
		return usagef("say which version: --name and --version, or name and version in the file")
	}
	changed, err := c.changeAsset(assetFlags{f.Name, f.Version, f.storeFlags}, featureSets, func(properties *document.Object) error {
		for _, given := range files {
			applyUpdate(properties, given)
		}
		if content != nil {
			properties.Object("specification").Set("content", content)
		}
		return f.apply(properties)
	})
	if err != nil {
		return err
	}
	return c.PrintColumns(featureSetDocument(changed), assetColumns)
}

func applyUpdate(properties *document.Object, given *spec.FeatureSet) {
	properties.SetIf("description", given.Description).SetIf("stage", string(given.Stage))
	if given.Stage != "" {
		properties.Set("isArchived", given.Stage == spec.Archived)
	}
	if given.Tags != nil {
		properties.Set("tags", tagsDocument(given.Tags))
	}
	if given.Entities != nil {
		properties.Set("entities", entityRefs(given.Entities))
	}
	if given.Materialization != nil {
		settings := properties.Object("materializationSettings").Clone()
		applySettings(settings, given.Materialization)
		properties.Set("materializationSettings", settings)
	}
}

type featureSetArchive struct{ assetFlags }

func (f *featureSetArchive) Run(c *Call) error { return c.archive(f.assetFlags, featureSets, true) }

type featureSetRestore struct{ assetFlags }

func (f *featureSetRestore) Run(c *Call) error { return c.archive(f.assetFlags, featureSets, false) }

type featureSetDelete struct {
	assetFlags
	confirmFlags
}

func (f *featureSetDelete) Run(c *Call) error {
	path, err := f.path(c, featureSets)
	if err != nil {
		return err
	}
	if err := f.confirm(c, "delete "+f.Name+":"+f.Version+" with its materialized data"); err != nil {
		return err
	}
	return c.deleteResource(path, machineLearnAPI, "feature set "+f.Name, false)
}

const featureColumns = "[].{Name:name, Type:data_type, Description:description}"

func featureDocument(feature *document.Object) *document.Object {
	p := feature.Object("properties")
	return document.New("name", first(p.Text("featureName"), feature.Text("name")), "data_type", strings.ToLower(p.Text("dataType")),
		"description", p.Get("description"), "tags", p.Get("tags"), "id", feature.Get("id"))
}

type featureSetFeatures struct{ assetFlags }

func (f *featureSetFeatures) Run(c *Call) error {
	path, err := f.path(c, featureSets)
	if err != nil {
		return err
	}
	found, err := c.armList(path+"/features", machineLearnAPI, nil)
	if err != nil {
		return err
	}
	for i := range found {
		found[i] = featureDocument(found[i])
	}
	return c.PrintColumns(found, featureColumns)
}

type featureSetFeature struct {
	assetFlags
	FeatureName string `name:"feature-name" required:"" help:"Name of the feature."`
}

func (f *featureSetFeature) Run(c *Call) error {
	path, err := f.path(c, featureSets)
	if err != nil {
		return err
	}
	found, err := c.arm(http.MethodGet, path+"/features/"+segment(f.FeatureName), machineLearnAPI, nil)
	if err != nil {
		return err
	}
	return c.PrintColumns(featureDocument(found), featureColumns)
}

const intervalColumns = "[].{Store:store, Start:start, End:end, Status:status}"

type featureSetIntervals struct{ assetFlags }

func (f *featureSetIntervals) Run(c *Call) error {
	path, err := f.path(c, featureSets)
	if err != nil {
		return err
	}
	answer, err := c.arm(http.MethodGet, path+"/dataIntervals", machineLearnAPI, nil)
	if err != nil {
		return err
	}
	out := []*document.Object{}
	for _, store := range []string{"offline", "online"} {
		for _, interval := range answer.Objects(store) {
			row := document.New("store", store, "start", interval.Get("start"), "end", interval.Get("end"), "status", interval.Get("status"))
			out = append(out, row.SetIf("job", interval.Get("job")))
		}
	}
	return c.PrintColumns(out, intervalColumns)
}

type featureSetOperations struct {
	assetFlags
	MaxResults int `name:"max-results" help:"At most this many."`
}

func (f *featureSetOperations) Run(c *Call) error {
	store, err := f.storeFlags.path(c)
	if err != nil {
		return err
	}
	found, err := c.armList(store+"/jobs", machineLearnAPI, url.Values{
		"properties": {"azureml.FeatureSetName=" + f.Name + ",azureml.FeatureSetVersion=" + f.Version}})
	if err != nil {
		return err
	}
	out := []*document.Object{}
	for _, job := range slices.Backward(found) { // the newest first
		if f.MaxResults == 0 || len(out) < f.MaxResults {
			out = append(out, jobDocument(job))
		}
	}
	return c.PrintColumns(out, jobColumns)
}
