package machinelearning

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/alvara-ml/alvara/arm"
	"github.com/alvara-ml/alvara/featurestore/spec"
	"github.com/alvara-ml/alvara/resource"
)

// checkEntities makes sure that the specification's key is the key of its entities.
func checkEntities(ctx context.Context, change *arm.Change[FeatureSetVersion], parsed *spec.FeatureSetSpec) error {
	p := &change.Next.Properties
	if len(p.Entities) == 0 {
		return resource.Invalidf("EntitiesRequired", "properties.entities is empty; at least one entity such as azureml:account:1 was expected").At("properties.entities")
	}
	have := map[string]string{}
	for _, column := range parsed.IndexColumns {
		have[column.Name] = wireType(column.Type)
	}
	named := map[string]bool{}
	for _, text := range p.Entities {
		id, err := entityID(change.Next.ID, text)
		if err != nil {
			return err
		}
		doc, err := change.Manager.Store.Get(ctx, id.Key())
		if resource.KindOf(err) == resource.NotFound {
			return resource.Invalidf("EntityNotFound", "properties.entities names %q, which does not exist in this feature store; create the entity first", text).At("properties.entities")
		}
		if err != nil {
			return err
		}
		var entity arm.Resource[EntityVersion]
		if err := json.Unmarshal(doc.Body, &entity); err != nil {
			return err
		}
		for _, column := range entity.Properties.IndexColumns {
			named[column.ColumnName] = true
			switch have[column.ColumnName] {
			case "":
				return resource.Invalidf("IndexColumnMissing", "%s: index_columns has no %q, which is a key of the entity %s", spec.FileName, column.ColumnName, text).At("index_columns")
			case column.DataType:
			default:
				return resource.Invalidf("IndexColumnTypeMismatch", "%s: the index column %q has the type %s, and the entity %s says %s", spec.FileName, column.ColumnName, have[column.ColumnName], text, column.DataType).At("index_columns")
			}
		}
	}
	for _, column := range parsed.IndexColumns {
		if !named[column.Name] {
			return resource.Invalidf("IndexColumnUnknown", "%s: the index column %q belongs to none of the entities %s", spec.FileName, column.Name, strings.Join(p.Entities, ", ")).At("index_columns")
		}
	}
	return nil
}

// readSpecification reads the files of a specification's folder from storage, as the caller.
func (d Deps) readSpecification(ctx context.Context, call *arm.Call, set resource.ID, path string) (map[string]string, error) {
	if path == "" {
		return nil, resource.Invalidf("SpecificationRequired", "properties.specification is empty; send the files of the specification in content, or a path to them in storage").At("properties.specification")
	}
	source, err := spec.ParseSource(path)
	if err != nil {
		if e, ok := resource.AsError(err); ok {
			err = errors.New(e.Message)
		}
		return nil, resource.Invalidf("InvalidSpecificationPath", "properties.specification.path: %v", err).At("properties.specification.path")
	}
	if err := ownDatastore(source, set, "properties.specification.path"); err != nil {
		return nil, err
	}
	account, container := source.Account, source.Container
	if source.Datastore != "" {
		doc, err := call.Manager.Store.Get(ctx, storeOf(set).Child("datastores", source.Datastore).Key())
		if err != nil {
			return nil, resource.Invalidf("DatastoreNotFound", "properties.specification.path names the datastore %q, which this feature store does not have", source.Datastore).At("properties.specification.path")
		}
		var datastore arm.Resource[Datastore]
		if err := json.Unmarshal(doc.Body, &datastore); err != nil {
			return nil, err
		}
		account, container = datastore.Properties.AccountName, datastore.Properties.ContainerName
	}
	folder := strings.TrimSuffix(source.Path, "/") + "/"
	names, err := d.List(ctx, call.Who, account, container, folder)
	if err != nil {
		return nil, err
	}
	files := map[string]string{}
	size := 0
	for _, name := range names {
		if len(files) >= 100 {
			return nil, resource.Invalidf("SpecificationTooLarge", "The folder %s has more than 100 files; it should hold the specification alone.", path).At("properties.specification.path")
		}
		text, err := d.Read(ctx, call.Who, account, container, name)
		if err != nil {
			return nil, err
		}
		if size += len(text); size > maxSpecification {
			return nil, resource.Invalidf("SpecificationTooLarge", "The files in %s have more than %d bytes together.", path, maxSpecification).At("properties.specification.path")
		}
		files[strings.TrimPrefix(name, folder)] = string(text)
	}
	if len(files) == 0 {
		return nil, resource.Invalidf("SpecificationNotFound", "There are no files in %s; %s was expected there.", path, spec.FileName).At("properties.specification.path")
	}
	return files, nil
}

// Parsed reads the version's specification and its online time to live.
func (v FeatureSetVersion) Parsed() (*spec.FeatureSetSpec, time.Duration, error) {
	parsed, err := spec.Parse(v.Files())
	if err != nil {
		return nil, 0, fmt.Errorf("the registered specification cannot be read: %w", err)
	}
	if v.MaterializationSettings == nil || v.MaterializationSettings.OnlineTTL == "" {
		return parsed, 0, nil
	}
	ttl, err := spec.ParseISODuration(v.MaterializationSettings.OnlineTTL)
	return parsed, ttl, err
}
