package spec

import (
	"path"
	"sort"
	"strings"
	"unicode/utf8"

	"github.com/alvara-ml/alvara/resource"
)

const maxSQLBytes = 1 << 20

// findSpec finds the document among the files of the folder.
func findSpec(files map[string][]byte) (string, []byte, error) {
	var found []string
	for name := range files {
		base := strings.TrimPrefix(name, "./")
		if strings.EqualFold(base, FileName) || strings.EqualFold(base, "FeatureSetSpec.yml") {
			found = append(found, name)
		}
	}
	sort.Strings(found)
	switch len(found) {
	case 0:
		return "", nil, &resource.Error{Kind: resource.Invalid, Code: codeInvalidSpec, Target: FileName,
			Message: "the specification's folder holds no " + FileName}
	case 1:
		return found[0], files[found[0]], nil
	}
	return "", nil, &resource.Error{Kind: resource.Invalid, Code: codeInvalidSpec, Target: FileName,
		Message: "the specification's folder holds several specifications: " + strings.Join(found, ", ") + "; keep one"}
}

func readSpec(root object, files map[string][]byte) *FeatureSetSpec {
	s := &FeatureSetSpec{}
	root.get("$schema").text()
	readSource(s, root.require("source", "say where the data is"))
	readIndexAndFeatures(s, root)
	readTransformation(s, root, files)
	lookback := root.get("source_lookback")
	s.SourceLookback = lookback.duration()
	checkLookback(s, lookback)
	if root.has("temporal_join_lookback") {
		d := root.get("temporal_join_lookback").duration()
		s.TemporalJoinLookback = &d
	}
	checkNames(s, root)
	return s
}

func readSource(s *FeatureSetSpec, v value) {
	o := v.object("type", "path", "timestamp_column", "source_delay", "source_process_code")
	if o.has("source_process_code") {
		o.get("source_process_code").fault("%s is not supported yet; use a source of type parquet, csv or json",
			o.get("source_process_code").path)
	}
	sourceType := readSourceType(o.require("type", "expected parquet, csv or json"))
	if p := o.require("path", "expected a path such as wasbs://container@account.blob.host/folder/*.parquet"); p.present() {
		if text := p.text(); text != "" || isText(p) {
			source, err := ParseSource(text)
			if e, ok := resource.AsError(err); ok {
				p.fault("%s: %s", p.path, e.Message)
			}
			s.Source = source
		}
	}
	s.Source.Type = sourceType
	timestamp := o.require("timestamp_column", "name the column that holds the event's time").object("name", "format")
	name := timestamp.require("name", "name the column that holds the event's time")
	s.TimestampColumn.Name = name.columnName()
	if format := timestamp.get("format"); format.present() {
		s.TimestampColumn.Format = format.text()
		if isText(format) && (strings.TrimSpace(s.TimestampColumn.Format) == "" || hasControl(s.TimestampColumn.Format)) {
			format.fault("%s is empty or has control characters; leave it out to have it inferred", format.path)
		}
	}
	s.SourceDelay = o.get("source_delay").duration()
}

func readSourceType(v value) SourceType {
	if !v.present() {
		return ""
	}
	text := v.text()
	switch kind := SourceType(strings.ToLower(text)); kind {
	case Parquet, CSV, JSON:
		return kind
	case "mltable", "deltatable", "custom":
		v.fault("%s: %s is not supported yet; expected parquet, csv or json", v.path, text)
	default:
		if isText(v) {
			v.fault("%s is %q; expected parquet, csv or json", v.path, text)
		}
	}
	return ""
}

func readIndexAndFeatures(s *FeatureSetSpec, root object) {
	for _, item := range root.require("index_columns", "give at least one column with name and type").nonEmptyList() {
		o := item.object("name", "type")
		s.IndexColumns = append(s.IndexColumns, o.column())
	}
	for _, item := range root.require("features", "give at least one feature with name and type").nonEmptyList() {
		o := item.object("name", "type", "description")
		column := o.column()
		column.Description = o.get("description").text()
		s.Features = append(s.Features, column)
	}
}

// nonEmptyList reads a sequence that must have an item; an item that is null is a fault.
func (v value) nonEmptyList() []value {
	if !v.present() {
		return nil
	}
	before := len(v.r.faults)
	items := v.list()
	if len(items) == 0 && len(v.r.faults) == before {
		v.fault("%s is empty; at least one entry is needed", v.name())
	}
	for _, item := range items {
		if !item.present() {
			item.fault("%s is empty", item.name())
		}
	}
	return items
}

func (o object) column() Column {
	return Column{
		Name: o.require("name", "expected a column name").columnName(),
		Type: o.require("type", "expected "+typeNames()).columnType(),
	}
}

// readSQL fetches a transformation's text from the folder.
func readSQL(s *FeatureSetSpec, v value, files map[string][]byte) {
	name := v.text()
	if !isText(v) {
		return
	}
	clean, fault := insidePath(name)
	if fault != "" {
		v.fault("%s is %q; %s", v.path, name, fault)
		return
	}
	data, found := files[clean]
	for candidate, content := range files {
		if !found && path.Clean(candidate) == clean {
			data, found = content, true
		}
	}
	if !found {
		v.fault("%s names %q, which is not in the specification's folder", v.path, name)
		return
	}
	text := strings.TrimPrefix(string(data), "\ufeff")
	switch {
	case len(data) > maxSQLBytes:
		v.fault("%s is %d bytes long; at most %d are allowed", clean, len(data), maxSQLBytes)
	case !utf8.ValidString(text) || strings.ContainsRune(text, 0):
		v.fault("%s is not UTF-8 text", clean)
	case strings.TrimSpace(text) == "":
		v.fault("%s is empty; it must hold one SELECT over the table source", clean)
	default:
		s.SQL, s.SQLPath = text, clean
	}
}

// insidePath cleans a relative path that must stay in the folder.
func insidePath(name string) (string, string) {
	const expected = "expected a path inside the specification's folder, such as transformation.sql"
	if name == "" || strings.HasPrefix(name, "/") || strings.ContainsAny(name, "\\:") || hasControl(name) {
		return "", expected
	}
	for _, segment := range strings.Split(name, "/") {
		if segment == ".." {
			return "", expected
		}
	}
	clean := path.Clean(name)
	if clean == "." {
		return "", expected
	}
	return clean, ""
}
