package machinelearning

import (
	"context"
	"encoding/json"
	"strings"

	"github.com/alvara-ml/alvara/arm"
	"github.com/alvara-ml/alvara/resource"
)

// Feature is one column that a feature set version gives.
type Feature struct {
	FeatureName string            `json:"featureName"`
	DataType    string            `json:"dataType"`
	Description string            `json:"description,omitempty"`
	Tags        map[string]string `json:"tags,omitempty"`
	Properties  map[string]string `json:"properties,omitempty"`
}

// Features declares the features of a version, which follow from its specification and cannot be written.
func (d Deps) Features() arm.Type {
	return arm.Define(arm.Spec[Feature]{
		Type: featureType, PermissionType: featureSetPermissions, APIVersions: apiVersions, ReadOnly: true,
		Find: func(ctx context.Context, call *arm.Call, id resource.ID) (*arm.Resource[Feature], bool, error) {
			all, err := featuresOf(ctx, call, id.Parent())
			for _, feature := range all {
				if strings.EqualFold(feature.Name, id.Name()) {
					return feature, true, err
				}
			}
			return nil, false, err
		},
		List: func(ctx context.Context, call *arm.Call, version resource.ID) ([]*arm.Resource[Feature], error) {
			return featuresOf(ctx, call, version)
		},
	})
}

func featuresOf(ctx context.Context, call *arm.Call, version resource.ID) ([]*arm.Resource[Feature], error) {
	doc, err := call.Manager.Store.Get(ctx, version.Key())
	if resource.KindOf(err) == resource.NotFound {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var r arm.Resource[FeatureSetVersion]
	if err := json.Unmarshal(doc.Body, &r); err != nil {
		return nil, err
	}
	parsed, _, err := r.Properties.Parsed()
	if err != nil {
		return nil, err
	}
	var out []*arm.Resource[Feature]
	for _, column := range parsed.Features {
		out = append(out, &arm.Resource[Feature]{
			ID: version.Child("features", column.Name), Name: column.Name, Type: featureType,
			Properties: Feature{FeatureName: column.Name, DataType: wireType(column.Type), Description: column.Description},
		})
	}
	return out, nil
}
