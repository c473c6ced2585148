package online

import (
	"encoding/json"
	"fmt"
	"hash/crc32"

	"github.com/alvara-ml/alvara/resource"
)

// Type is a column's type, in the words of the feature set specification.
type Type string

// The types of columns, with the Go type that stands for each in a row of values.
const (
	String   Type = "string"   // string
	Integer  Type = "integer"  // int32
	Long     Type = "long"     // int64
	Float    Type = "float"    // float32
	Double   Type = "double"   // float64
	Binary   Type = "binary"   // []byte
	Datetime Type = "datetime" // time.Time, in microseconds
	Boolean  Type = "boolean"  // bool
)

// Column is a named, typed column.
type Column struct {
	Name string `json:"name"`
	Type Type   `json:"type"`
}

// Schema says how a table's keys and rows are encoded. It is immutable and may be shared.
type Schema struct {
	index    []Column
	features []Column
	slots    []int    // offset of each feature's slot in the fixed part of a row
	names    [][]byte // `"name":` of each feature
	bitmap   int      // bytes of the null bitmap
	fixed    int      // bytes before the variable part
	mark     uint32   // tells rows of another schema apart
}

// NewSchema makes the schema of a table from the index columns (in the order of the entities' keys) and the feature
// columns. Faults are Invalid and name the column.
func NewSchema(index, features []Column) (*Schema, error) {
	if len(index) == 0 {
		return nil, resource.Invalidf("InvalidSchema", "an online table needs at least one index column")
	}
	seen := map[string]bool{}
	for _, column := range append(append([]Column{}, index...), features...) {
		if column.Name == "" {
			return nil, resource.Invalidf("InvalidSchema", "a column has no name")
		}
		if width(column.Type) == 0 {
			return nil, resource.Invalidf("InvalidSchema", "the column %q has the unknown type %q; use string, integer, long, float, double, binary, datetime or boolean", column.Name, column.Type).At(column.Name)
		}
		if seen[column.Name] {
			return nil, resource.Invalidf("InvalidSchema", "the column %q is there twice", column.Name).At(column.Name)
		}
		seen[column.Name] = true
	}
	s := &Schema{index: append([]Column{}, index...), features: append([]Column{}, features...)}
	s.bitmap = (len(features) + 7) / 8
	s.fixed = headerBytes + s.bitmap
	for _, column := range features {
		s.slots = append(s.slots, s.fixed)
		s.fixed += width(column.Type)
		quoted, err := json.Marshal(column.Name)
		if err != nil {
			return nil, fmt.Errorf("column %q: %w", column.Name, err)
		}
		s.names = append(s.names, append(quoted, ':'))
	}
	text, err := json.Marshal(s)
	if err != nil {
		return nil, err
	}
	s.mark = crc32.ChecksumIEEE(text)
	return s, nil
}

// Index gives the index columns; the caller must not change them.
func (s *Schema) Index() []Column { return s.index }

// Features gives the feature columns; the caller must not change them.
func (s *Schema) Features() []Column { return s.features }

// Equal tells whether keys and rows of both are interchangeable.
func (s *Schema) Equal(other *Schema) bool {
	if len(s.index) != len(other.index) || len(s.features) != len(other.features) {
		return false
	}
	for i, column := range s.index {
		if other.index[i] != column {
			return false
		}
	}
	for i, column := range s.features {
		if other.features[i] != column {
			return false
		}
	}
	return true
}

type schemaDocument struct {
	Index    []Column `json:"index"`
	Features []Column `json:"features"`
}

// MarshalJSON writes {"index":[{"name","type"}],"features":[…]}.
func (s *Schema) MarshalJSON() ([]byte, error) {
	return json.Marshal(schemaDocument{Index: s.index, Features: s.features})
}

// UnmarshalJSON reads what MarshalJSON writes.
func (s *Schema) UnmarshalJSON(text []byte) error {
	var document schemaDocument
	if err := json.Unmarshal(text, &document); err != nil {
		return err
	}
	read, err := NewSchema(document.Index, document.Features)
	if err != nil {
		return err
	}
	*s = *read
	return nil
}

// width is the size of a column's slot in bytes; text and bytes keep the end of their place in the variable part there.
func width(t Type) int {
	switch t {
	case Boolean:
		return 1
	case Integer, Float, String, Binary:
		return 4
	case Long, Double, Datetime:
		return 8
	}
	return 0
}
