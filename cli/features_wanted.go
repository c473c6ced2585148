package cli

import (
	"net/http"
	"os"

	"github.com/alvara-ml/alvara/cli/document"
	"github.com/alvara-ml/alvara/featurestore/spec"
	"github.com/alvara-ml/alvara/resource"
)

// featuresFlags say which features of which store are wanted: by name, or by the specification that a model was kept with.
type featuresFlags struct {
	FeatureStore  string   `name:"feature-store" alt:"-fs,-w" aliases:"feature-store-name,fs-name,workspace-name,workspace" help:"Feature store (also -fs)."`
	ResourceGroup string   `short:"g" name:"resource-group" help:"Resource group of the feature store."`
	Features      []string `sep:"none" placeholder:"SET:VERSION[:FEATURE]" help:"Feature sets or single features; prefix=SET:VERSION puts a prefix before the columns' names."`
	Spec          string   `name:"feature-retrieval-spec" type:"existingfile" placeholder:"FILE" help:"feature_retrieval_spec.yaml of a model; it names the store and the features."`

	store string // the store's resource id, once settled
}

// settle finds the store and the features out.
func (f *featuresFlags) settle(c *Call) error {
	if f.Spec != "" {
		if f.FeatureStore != "" || f.ResourceGroup != "" || len(f.Features) > 0 {
			return usagef("--feature-retrieval-spec names the store and the features; it goes without --feature-store, -g and --features")
		}
		return f.read()
	}
	for _, flag := range []struct {
		name    string
		missing bool
	}{{"--feature-store", f.FeatureStore == ""}, {"--resource-group (-g)", f.ResourceGroup == ""}, {"--features", len(f.Features) == 0}} {
		if flag.missing {
			return usagef("%s is missing; name the store and its features, or a --feature-retrieval-spec", flag.name)
		}
	}
	for _, text := range f.Features {
		if _, err := spec.ParseFeatureRef(text); err != nil {
			return usagef("--features: %s", plainMessage(err))
		}
	}
	var err error
	f.store, err = storeFlags{f.FeatureStore, f.ResourceGroup}.path(c)
	return err
}

func (f *featuresFlags) read() error {
	text, err := os.ReadFile(f.Spec)
	if err != nil {
		return err
	}
	parsed, err := spec.ParseRetrievalSpec(f.Spec, text)
	if err != nil {
		return usagef("--feature-retrieval-spec: %s", plainMessage(err))
	}
	if len(parsed.Stores) != 1 {
		return usagef("--feature-retrieval-spec: %s names %d feature stores; features of one are retrieved at a time", f.Spec, len(parsed.Stores))
	}
	f.store = parsed.Stores[0].Store.String()
	for _, feature := range parsed.Stores[0].Features {
		f.Features = append(f.Features, feature.String())
	}
	return nil
}

// retrievalSpec writes feature_retrieval_spec.yaml (FS-16).
type retrievalSpec struct {
	storeFlags
	Features []string `required:"" sep:"none" placeholder:"SET:VERSION[:FEATURE]" help:"Feature sets, of which all features are meant, or single features."`
	Out      string   `default:"feature_retrieval_spec.yaml" type:"path" help:"File to write."`
}

func (r *retrievalSpec) Run(c *Call) error {
	path, err := r.path(c)
	if err != nil {
		return err
	}
	get := func(path string) (*document.Object, error) { return c.arm(http.MethodGet, path, machineLearnAPI, nil) }
	store, err := get(path)
	if err != nil {
		return err
	}
	id, err := resource.ParseID(store.Text("id"))
	if err != nil {
		return err
	}
	made := spec.RetrievalStore{Store: id, Location: store.Text("location"), WorkspaceID: store.Object("properties").Text("workspaceId")}
	for _, text := range r.Features {
		ref, err := spec.ParseFeatureRef(text)
		if err != nil {
			return usagef("--features: %s", plainMessage(err))
		}
		if ref.Prefix != "" {
			return usagef("--features: %s: a retrieval specification has no prefixes", text)
		}
		version, err := get(path + "/featuresets/" + segment(ref.Set) + "/versions/" + segment(ref.Version))
		if err != nil {
			return err
		}
		if ref.Feature != "" {
			made.Features = append(made.Features, ref)
			continue
		}
		features, err := c.armList(version.Text("id")+"/features", machineLearnAPI, nil)
		if err != nil {
			return err
		}
		for _, feature := range features {
			made.Features = append(made.Features, spec.FeatureRef{Set: ref.Set, Version: ref.Version, Feature: feature.Text("name")})
		}
	}
	text, err := (&spec.RetrievalSpec{Stores: []spec.RetrievalStore{made}}).MarshalYAML()
	if err != nil {
		return err
	}
	if err := writeWhole(r.Out, func(part *os.File) error { _, err := part.Write(text); return err }); err != nil {
		return err
	}
	var listed []string
	for _, f := range made.Features {
		listed = append(listed, f.String())
	}
	return c.Print(document.New("out", r.Out, "features", document.Strings(listed)))
}
