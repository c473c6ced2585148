package machinelearning

import (
	"context"
	"fmt"
	"slices"

	"github.com/alvara-ml/alvara/arm"
	"github.com/alvara-ml/alvara/featurestore/spec"
	"github.com/alvara-ml/alvara/resource"
	"github.com/alvara-ml/alvara/store"
)

// EntityVersion is the properties of a version of a feature store entity: the key by which features are found.
type EntityVersion struct {
	Lifecycle
	Description  string            `json:"description,omitempty"`
	Tags         map[string]string `json:"tags,omitempty"`
	Properties   map[string]string `json:"properties,omitempty"`
	IsAnonymous  bool              `json:"isAnonymous,omitempty"`
	IndexColumns []IndexColumn     `json:"indexColumns"`
}

// IndexColumn is one column of a key. DataType is String, Integer, Long, Float, Double, Binary, Datetime or Boolean.
type IndexColumn struct {
	ColumnName string `json:"columnName"`
	DataType   string `json:"dataType"`
}

// Entities declares entities.
func (d Deps) Entities() arm.Type { return assetContainer(entityType, entityPermissions) }

// EntityVersions declares the versions of entities. Their columns never change; stage, tags and description do (FS-11).
func (d Deps) EntityVersions() arm.Type {
	return arm.Define(arm.Spec[EntityVersion]{
		Type: entityVersionType, PermissionType: entityPermissions, APIVersions: apiVersions, Strict: true, ImplicitParent: true,
		Name: assetVersion, NameRule: assetVersionRule,
		Validate: validateEntity,
		Commit: func(ctx context.Context, change *arm.Change[EntityVersion]) ([]store.Op, error) {
			if change.Prev != nil {
				return nil, nil
			}
			return withContainer(ctx, change.Call, change.Next.ID, entityType)
		},
		Listed: assetsListed(func(r *arm.Resource[EntityVersion]) listed {
			p := r.Properties
			return listed{p.Stage, p.Description, p.Tags, p.archived()}
		}),
	})
}

func validateEntity(_ context.Context, change *arm.Change[EntityVersion]) error {
	p := &change.Next.Properties
	if !assetName.MatchString(change.Next.ID.Parent().Name()) {
		return resource.Invalidf("InvalidResourceName", "%q is no name for an entity: %s", change.Next.ID.Parent().Name(), assetNameRule).At("name")
	}
	if len(p.IndexColumns) == 0 && change.Prev == nil {
		return resource.Invalidf("InvalidEntity", "properties.indexColumns is empty; at least one column was expected").At("properties.indexColumns")
	}
	seen := map[string]bool{}
	for i, column := range p.IndexColumns {
		field := fmt.Sprintf("properties.indexColumns[%d]", i)
		if err := spec.CheckColumnName(column.ColumnName); err != nil {
			return resource.Invalidf("InvalidEntity", "%s.columnName: %v", field, err).At(field + ".columnName")
		}
		t, err := spec.ParseColumnType(column.DataType)
		if err != nil {
			return resource.Invalidf("InvalidEntity", "%s.dataType: %v", field, err).At(field + ".dataType")
		}
		p.IndexColumns[i].DataType = wireType(t)
		if seen[column.ColumnName] {
			return resource.Invalidf("InvalidEntity", "%s: the column %q is named twice", field, column.ColumnName).At(field + ".columnName")
		}
		seen[column.ColumnName] = true
	}
	var before *Lifecycle
	if change.Prev != nil {
		old := change.Prev.Properties
		before = &old.Lifecycle
		if len(p.IndexColumns) == 0 {
			p.IndexColumns = old.IndexColumns
		}
		if !slices.Equal(p.IndexColumns, old.IndexColumns) {
			return resource.Conflictf("VersionImmutable", "The index columns of %s:%s cannot be changed; create a new version.", change.Next.ID.Parent().Name(), change.Next.Name).At("properties.indexColumns")
		}
	}
	return p.settle(before)
}

// wireType writes a column type as the resource manager's clients do: String, Long …
func wireType(t spec.ColumnType) string { return string(t[0]-'a'+'A') + string(t[1:]) }
