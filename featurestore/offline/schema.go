package offline

import (
	"encoding/json"
	"fmt"
	"slices"

	"github.com/apache/arrow-go/v18/parquet"
	"github.com/apache/arrow-go/v18/parquet/schema"
	"github.com/apache/iceberg-go"

	"github.com/alvara-ml/alvara/resource"
)

// columns gives all columns in the order in which they are stored.
func (s Schema) columns() []Column {
	columns := append(slices.Clone(s.Index), Column{Name: s.Timestamp, Type: "datetime"})
	return append(columns, s.Features...)
}

// iceberg gives the table's schema; a column's field id is its position, from 1.
func (s Schema) iceberg() (*iceberg.Schema, error) {
	if len(s.Index) == 0 {
		return nil, resource.Invalidf("InvalidSchema", "the feature set has no index column")
	}
	if s.Timestamp == "" {
		return nil, resource.Invalidf("InvalidSchema", "the feature set has no timestamp column")
	}
	seen := map[string]bool{}
	var fields []iceberg.NestedField
	for i, column := range s.columns() {
		if column.Name == "" || seen[column.Name] {
			return nil, resource.Invalidf("InvalidSchema", "the column name %q is empty or there twice", column.Name).At(column.Name)
		}
		seen[column.Name] = true
		t, err := icebergType(column)
		if err != nil {
			return nil, err
		}
		fields = append(fields, iceberg.NestedField{ID: i + 1, Name: column.Name, Type: t, Required: i <= len(s.Index)})
	}
	return iceberg.NewSchema(0, fields...), nil
}

func icebergType(column Column) (iceberg.Type, error) {
	switch column.Type {
	case "string":
		return iceberg.PrimitiveTypes.String, nil
	case "integer":
		return iceberg.PrimitiveTypes.Int32, nil
	case "long":
		return iceberg.PrimitiveTypes.Int64, nil
	case "float":
		return iceberg.PrimitiveTypes.Float32, nil
	case "double":
		return iceberg.PrimitiveTypes.Float64, nil
	case "binary":
		return iceberg.PrimitiveTypes.Binary, nil
	case "datetime":
		return iceberg.PrimitiveTypes.TimestampTz, nil
	case "boolean":
		return iceberg.PrimitiveTypes.Bool, nil
	}
	return nil, resource.Invalidf("InvalidSchema", "the column %q has the unknown type %q; use string, integer, long, float, double, binary, datetime or boolean", column.Name, column.Type).At(column.Name)
}

// columnsKey and timestampKey are the table properties that keep the schema in the feature set's own words.
const (
	columnsKey   = "alvara.schema"
	timestampKey = "alvara.timestamp-column"
)

func (s Schema) properties(fields *iceberg.Schema) (iceberg.Properties, error) {
	words, err := json.Marshal(s)
	if err != nil {
		return nil, err
	}
	mapping, err := json.Marshal(fields.NameMapping())
	if err != nil {
		return nil, err
	}
	return iceberg.Properties{
		"format-version":                  "2",
		"commit.manifest-merge.enabled":   "true",
		"schema.name-mapping.default":     string(mapping),
		"write.parquet.compression-codec": "zstd",
		columnsKey:                        string(words),
		timestampKey:                      s.Timestamp,
	}, nil
}

func schemaOf(properties iceberg.Properties) (Schema, error) {
	var s Schema
	if err := json.Unmarshal([]byte(properties[columnsKey]), &s); err != nil {
		return s, fmt.Errorf("the table's property %s is not readable: %w", columnsKey, err)
	}
	return s, nil
}

func (s Schema) equal(other Schema) bool {
	return s.Timestamp == other.Timestamp && slices.Equal(s.Index, other.Index) && slices.Equal(s.Features, other.Features)
}

// fits tells what keeps a parquet column from being read as the table's column; "" when nothing does.
func fits(column Column, found *schema.Column) string {
	if found.MaxRepetitionLevel() > 0 || len(found.ColumnPath()) > 1 {
		return "a nested column"
	}
	logical, physical := found.LogicalType(), found.PhysicalType()
	plain := logical == nil || logical.IsNone()
	whole, isInt := logical.(schema.IntLogicalType)
	ok := false
	switch column.Type {
	case "string":
		_, isString := logical.(schema.StringLogicalType)
		ok = physical == parquet.Types.ByteArray && isString
	case "integer":
		ok = physical == parquet.Types.Int32 && (plain || (isInt && whole.IsSigned()))
	case "long":
		ok = physical == parquet.Types.Int64 && (plain || (isInt && whole.IsSigned()))
	case "float":
		ok = physical == parquet.Types.Float && plain
	case "double":
		ok = physical == parquet.Types.Double && plain
	case "binary":
		ok = physical == parquet.Types.ByteArray && plain
	case "boolean":
		ok = physical == parquet.Types.Boolean
	case "datetime":
		t, isTime := logical.(schema.TimestampLogicalType)
		ok = physical == parquet.Types.Int64 && isTime && t.IsAdjustedToUTC() && t.TimeUnit() == schema.TimeUnitMicros
	}
	if ok {
		return ""
	}
	return fmt.Sprintf("%s (%s)", physical, logical)
}
