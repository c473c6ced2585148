package spec

// Stage says how far an entity or a feature set has come.
type Stage string

// The stages. Archived ones are hidden from lists unless asked for.
const (
	Development Stage = "Development"
	Production  Stage = "Production"
	Archived    Stage = "Archived"
)

// Entity is the file that creates a version of an entity.
type Entity struct {
	Name         string
	Version      string
	Description  string
	Stage        Stage // Development by default
	Tags         map[string]string
	IndexColumns []Column // without descriptions
}

// ParseEntity reads entity.yaml; file is its name in messages.
func ParseEntity(file string, data []byte) (*Entity, error) {
	r, root := openDocument(file, data)
	o := root.object("$schema", "name", "version", "description", "stage", "tags", "index_columns")
	o.get("$schema").text()
	e := &Entity{
		Name:        o.require("name", "give the entity's name").assetName(),
		Version:     o.require("version", "give the entity's version").version(),
		Description: o.get("description").text(),
		Stage:       o.get("stage").stage(Development),
		Tags:        o.get("tags").texts(),
	}
	seen := map[string]bool{}
	for _, item := range o.require("index_columns", "give at least one column with name and type").nonEmptyList() {
		column := item.object("name", "type").column()
		if key := foldName(column.Name); column.Name != "" && seen[key] {
			item.fault("%s.name: the column name %q is taken already; names must differ in more than case", item.path, column.Name)
		} else {
			seen[key] = true
		}
		e.IndexColumns = append(e.IndexColumns, column)
	}
	if err := r.err(codeInvalidSpec); err != nil {
		return nil, err
	}
	return e, nil
}

// CheckEntities tells whether a feature set fits its entities: its index columns are theirs, all of them and no others,
// with the same types. Names compare without regard to case. All differences are in the error's Details.
func (s *FeatureSetSpec) CheckEntities(entities []Entity) error {
	r := &reader{file: FileName}
	const path = "index_columns"
	own := map[string]Column{}
	for _, column := range s.IndexColumns {
		own[foldName(column.Name)] = column
	}
	known := map[string]bool{}
	for _, e := range entities {
		for _, column := range e.IndexColumns {
			known[foldName(column.Name)] = true
			switch mine, found := own[foldName(column.Name)]; {
			case !found:
				r.fault(nil, path, "the index column %q of the entity %s:%s is missing; add it to index_columns", column.Name, e.Name, e.Version)
			case mine.Type != column.Type:
				r.fault(nil, path, "the index column %q has the type %s, and %s in the entity %s:%s; make them equal",
					mine.Name, mine.Type, column.Type, e.Name, e.Version)
			}
		}
	}
	for _, column := range s.IndexColumns {
		if !known[foldName(column.Name)] {
			r.fault(nil, path, "the index column %q belongs to none of the feature set's entities; list its entity or drop it", column.Name)
		}
	}
	return r.err(codeInvalidSpec)
}

func (v value) stage(fallback Stage) Stage {
	if !v.present() {
		return fallback
	}
	return Stage(v.oneOf(string(Development), string(Production), string(Archived)))
}
