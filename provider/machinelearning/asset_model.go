package machinelearning

import (
	"context"
	"encoding/json"
	"slices"
	"strings"

	"github.com/alvara-ml/alvara/arm"
	"github.com/alvara-ml/alvara/featurestore/spec"
	"github.com/alvara-ml/alvara/resource"
)

// ModelVersion is the properties of a version of a model: a file or a folder.
type ModelVersion struct {
	AssetVersion
	ModelType string            `json:"modelType,omitempty"` // custom_model, mlflow_model or triton_model
	ModelURI  string            `json:"modelUri,omitempty"`
	JobName   string            `json:"jobName,omitempty"` // the job that made it
	Flavors   map[string]Flavor `json:"flavors"`           // never null for clients, which go through it
}

// Flavor is one way to load a model, in the words of the library that does.
type Flavor struct {
	Data map[string]string `json:"data,omitempty"`
}

// The types of models.
const (
	customModel = "custom_model"
	mlflowModel = "mlflow_model"
	tritonModel = "triton_model"
)

// featureSetsProperty is the property of a model that names the feature sets which it was trained on: those of the
// retrieval specification in its root folder, as resource ids of versions, parted by commas.
const featureSetsProperty = derived + "featureSets"

// Models declares models and their versions.
func (d Deps) Models() []arm.Type {
	return assetKind[ModelVersion, *ModelVersion]{container: modelType, version: modelVersionType, made: d.madeModel}.types(d)
}

func (v *ModelVersion) settle() error {
	kind, err := oneOf("properties.modelType", v.ModelType, customModel, customModel, mlflowModel, tritonModel)
	if err != nil {
		return err
	}
	v.ModelType = kind
	if v.Flavors == nil {
		v.Flavors = map[string]Flavor{}
	}
	return nil
}

func (v *ModelVersion) uri() (field, text string) { return "properties.modelUri", v.ModelURI }

func (v *ModelVersion) fixed() []fixedField {
	flavors, _ := json.Marshal(v.Flavors) // texts
	return []fixedField{
		{"modelType", v.ModelType != "", strings.ToLower(v.ModelType)}, {"modelUri", v.ModelURI != "", v.ModelURI},
		{"jobName", v.JobName != "", v.JobName}, {"flavors", v.Flavors != nil, string(flavors)},
	}
}

// madeModel notes the job that a new model comes from, and the feature sets that it was trained on when the one who makes it may
// read them in its folder.
func (d Deps) madeModel(ctx context.Context, change *arm.Change[ModelVersion], at place) error {
	p := &change.Next.Properties
	if job, found := jobOfURI(p.ModelURI); found && p.JobName == "" {
		p.JobName = job
	}
	text, err := d.Read(ctx, change.Who, at.Account, at.Container, at.below(spec.RetrievalFileName))
	if kind := resource.KindOf(err); kind == resource.NotFound || kind == resource.Forbidden {
		return nil // a model without, or one that only those who use it may read
	}
	if err != nil {
		return err
	}
	sets, err := featureSetsOf(text)
	if err != nil {
		return err
	}
	if p.Properties == nil {
		p.Properties = map[string]string{}
	}
	p.Properties[featureSetsProperty] = strings.Join(sets, ",")
	return nil
}

// featureSetsOf reads the versions of feature sets that a retrieval specification names, each once.
func featureSetsOf(text []byte) ([]string, error) {
	parsed, err := spec.ParseRetrievalSpec(spec.RetrievalFileName, text)
	if err != nil {
		return nil, resource.Invalidf("InvalidRetrievalSpec", "The model's %s cannot be read: %v", spec.RetrievalFileName, err).At("properties.modelUri")
	}
	var out []string
	for _, store := range parsed.Stores {
		for _, feature := range store.Features {
			id := store.Store.Child("featuresets", feature.Set).Child("versions", feature.Version).String()
			if !slices.Contains(out, id) {
				out = append(out, id)
			}
		}
	}
	return out, nil
}
