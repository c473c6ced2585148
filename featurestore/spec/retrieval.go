package spec

import (
	"fmt"
	"strings"

	"github.com/alvara-ml/alvara/resource"
)

// RetrievalFileName is the retrieval specification in a model's root folder.
const RetrievalFileName = "feature_retrieval_spec.yaml"

// RetrievalSpec names the features that a model was trained on, in the order of their columns.
type RetrievalSpec struct {
	SerializationVersion int // 1 or 2
	Stores               []RetrievalStore
}

// RetrievalStore is one feature store's part.
type RetrievalStore struct {
	Store       resource.ID // the workspace of kind FeatureStore
	Location    string
	WorkspaceID string       // a GUID in lower case
	Features    []FeatureRef // each with its feature, without prefix
}

// ParseRetrievalSpec reads feature_retrieval_spec.yaml, with the stores under feature_stores or, as older ones have it,
// featurestores; file is its name in messages.
func ParseRetrievalSpec(file string, data []byte) (*RetrievalSpec, error) {
	r, root := openDocument(file, data)
	o := root.object("$schema", "serialization_version", "feature_stores", "featurestores")
	o.get("$schema").text()
	s := &RetrievalSpec{}
	if version := o.require("serialization_version", "expected 2"); version.present() {
		before := len(r.faults)
		s.SerializationVersion = int(version.integer())
		if s.SerializationVersion != 1 && s.SerializationVersion != 2 && len(r.faults) == before {
			version.fault("serialization_version is %d; expected 2, or 1 in older files", s.SerializationVersion)
		}
	}
	stores := o.get("featurestores")
	switch {
	case stores.present() && o.has("feature_stores"):
		stores.fault("featurestores and feature_stores are both given; keep feature_stores")
	case !stores.present():
		stores = o.require("feature_stores", "name at least one feature store")
	}
	for _, item := range stores.nonEmptyList() {
		s.Stores = append(s.Stores, item.retrievalStore())
	}
	if err := r.err(codeInvalidSpec); err != nil {
		return nil, err
	}
	return s, nil
}

func (v value) retrievalStore() RetrievalStore {
	o := v.object("uri", "location", "workspace_id", "features")
	var s RetrievalStore
	const form = "azureml://subscriptions/id/resourcegroups/group/workspaces/store"
	if uri := o.require("uri", "expected "+form); uri.present() {
		parts := strings.Split(uri.text(), "/")
		id, err := resource.Root, error(invalid("malformed"))
		if len(parts) == 8 && strings.EqualFold(strings.Join([]string{parts[0], parts[1], parts[2], parts[4], parts[6]}, "/"),
			"azureml://subscriptions/resourcegroups/workspaces") {
			id, err = workspaceID(parts[3], parts[5], parts[7])
		}
		if err != nil && isText(uri) {
			uri.fault("%s is %q; expected %s", uri.path, short(uri.text()), form)
		}
		s.Store = id
	}
	s.Location = o.require("location", "give the store's location").text()
	s.WorkspaceID = o.require("workspace_id", "give the store's workspace id, a GUID").guid()
	seen := map[string]bool{}
	for _, item := range o.require("features", "name at least one feature").nonEmptyList() {
		f := item.object("feature_name", "feature_set")
		ref := FeatureRef{Feature: f.require("feature_name", "name the feature").columnName()}
		if set := f.require("feature_set", "expected name:version"); set.present() {
			version, err := ParseVersionRef(set.text())
			if err != nil && isText(set) {
				set.fault("%s: %s", set.path, err.(*resource.Error).Message)
			}
			ref.Set, ref.Version = version.Name, version.Version
		}
		if key := strings.ToLower(ref.Set) + ":" + ref.Version + ":" + foldName(ref.Feature); seen[key] {
			item.fault("%s: the feature %s is listed already", item.path, ref)
		} else {
			seen[key] = true
		}
		s.Features = append(s.Features, ref)
	}
	return s
}

// MarshalYAML writes the specification in the form of serialization version 2.
func (s *RetrievalSpec) MarshalYAML() ([]byte, error) {
	w := &writer{}
	w.line(0, "serialization_version: 2")
	w.line(0, "feature_stores:")
	for _, store := range s.Stores {
		if store.Store.Subscription() == "" || store.Store.ResourceGroup() == "" {
			return nil, invalid("the feature store's id %s names no workspace", store.Store)
		}
		w.text(1, "- uri", fmt.Sprintf("azureml://subscriptions/%s/resourcegroups/%s/workspaces/%s",
			store.Store.Subscription(), store.Store.ResourceGroup(), store.Store.Name()))
		w.text(2, "location", store.Location)
		w.text(2, "workspace_id", store.WorkspaceID)
		w.line(2, "features:")
		for _, f := range store.Features {
			w.text(3, "- feature_name", f.Feature)
			w.text(4, "feature_set", f.Set+":"+f.Version)
		}
	}
	return w.b.Bytes(), nil
}
