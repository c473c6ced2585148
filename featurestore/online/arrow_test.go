package online_test

import (
	"bytes"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"pgregory.net/rapid"

	"github.com/alvara-ml/alvara/featurestore/online"
	"github.com/alvara-ml/alvara/resource"
)

func arrowType(kind online.Type) arrow.DataType {
	switch kind {
	case online.String:
		return arrow.BinaryTypes.String
	case online.Integer:
		return arrow.PrimitiveTypes.Int32
	case online.Long:
		return arrow.PrimitiveTypes.Int64
	case online.Float:
		return arrow.PrimitiveTypes.Float32
	case online.Double:
		return arrow.PrimitiveTypes.Float64
	case online.Binary:
		return arrow.BinaryTypes.Binary
	case online.Datetime:
		return &arrow.TimestampType{Unit: arrow.Microsecond, TimeZone: "UTC"}
	default:
		return arrow.FixedWidthTypes.Boolean
	}
}

func appendArrow(b array.Builder, value any) {
	switch b := b.(type) {
	case *array.StringBuilder:
		b.Append(value.(string))
	case *array.Int32Builder:
		b.Append(value.(int32))
	case *array.Int64Builder:
		b.Append(value.(int64))
	case *array.Float32Builder:
		b.Append(value.(float32))
	case *array.Float64Builder:
		b.Append(value.(float64))
	case *array.BinaryBuilder:
		b.Append(value.([]byte))
	case *array.TimestampBuilder:
		b.Append(arrow.Timestamp(value.(time.Time).UnixMicro()))
	case *array.BooleanBuilder:
		b.Append(value.(bool))
	}
}

// Rows from Arrow are byte for byte what the values would be encoded as.
func TestFromArrowEncodesTheSame(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		schema := drawSchema(t)
		columns := append(append([]online.Column{}, schema.Features()...), schema.Index()...) // another order than the schema's
		fields := []arrow.Field{{Name: "at", Type: arrowType(online.Datetime)}}
		for _, column := range columns {
			fields = append(fields, arrow.Field{Name: column.Name, Type: arrowType(column.Type), Nullable: true})
		}
		b := array.NewRecordBuilder(memory.DefaultAllocator, arrow.NewSchema(fields, nil))
		defer b.Release()
		var want []online.Row
		for range rapid.IntRange(0, 6).Draw(t, "rows") {
			event := drawValue(t, online.Datetime).(time.Time)
			appendArrow(b.Field(0), event)
			features, index := drawValues(t, schema.Features(), true), drawValues(t, schema.Index(), false)
			for i, value := range append(append([]any{}, features...), index...) {
				if value == nil {
					b.Field(i + 1).AppendNull()
				} else {
					appendArrow(b.Field(i+1), value)
				}
			}
			key, err := schema.AppendKey(nil, index)
			if err != nil {
				t.Fatal(err)
			}
			value, err := schema.AppendRow(nil, features)
			if err != nil {
				t.Fatal(err)
			}
			want = append(want, online.Row{Key: key, Event: event, Value: value})
		}
		record := b.NewRecordBatch()
		defer record.Release()
		got, err := online.FromArrow(record, schema, "at")
		if err != nil || len(got) != len(want) {
			t.Fatalf("got %d rows (%v), want %d", len(got), err, len(want))
		}
		for i := range want {
			if !bytes.Equal(got[i].Key, want[i].Key) || !bytes.Equal(got[i].Value, want[i].Value) || !got[i].Event.Equal(want[i].Event) {
				t.Fatalf("row %d is %+v, want %+v", i, got[i], want[i])
			}
		}
	})
}

func TestFromArrowRefusesWhatDoesNotFit(t *testing.T) {
	schema, err := online.NewSchema([]online.Column{{Name: "k", Type: online.Long}}, []online.Column{{Name: "f", Type: online.Double}})
	if err != nil {
		t.Fatal(err)
	}
	seconds := &arrow.TimestampType{Unit: arrow.Second}
	build := func(at, k, f arrow.DataType, nulls string) arrow.RecordBatch {
		b := array.NewRecordBuilder(memory.DefaultAllocator, arrow.NewSchema([]arrow.Field{
			{Name: "at", Type: at, Nullable: true}, {Name: "k", Type: k, Nullable: true}, {Name: "f", Type: f, Nullable: true},
		}, nil))
		defer b.Release()
		for i, name := range []string{"at", "k", "f"} {
			if name == nulls {
				b.Field(i).AppendNull()
			} else {
				b.Field(i).AppendEmptyValue()
			}
		}
		return b.NewRecordBatch()
	}
	for _, c := range []struct {
		name, code, nulls string
		at, k, f          arrow.DataType
	}{
		{"the key is null", "NullKey", "k", seconds, arrow.PrimitiveTypes.Int64, arrow.PrimitiveTypes.Float64},
		{"the time is null", "NullKey", "at", seconds, arrow.PrimitiveTypes.Int64, arrow.PrimitiveTypes.Float64},
		{"the time is a number", "SchemaMismatch", "", arrow.PrimitiveTypes.Int64, arrow.PrimitiveTypes.Int64, arrow.PrimitiveTypes.Float64},
		{"a feature is text", "SchemaMismatch", "", seconds, arrow.PrimitiveTypes.Int64, arrow.BinaryTypes.String},
		{"a key is a fraction", "SchemaMismatch", "", seconds, arrow.PrimitiveTypes.Float64, arrow.PrimitiveTypes.Float64},
	} {
		t.Run(c.name, func(t *testing.T) {
			record := build(c.at, c.k, c.f, c.nulls)
			defer record.Release()
			_, err := online.FromArrow(record, schema, "at")
			if e, ok := resource.AsError(err); !ok || e.Code != c.code {
				t.Fatalf("got %v, want %s", err, c.code)
			}
		})
	}
	record := build(seconds, arrow.PrimitiveTypes.Int16, arrow.PrimitiveTypes.Float32, "f") // narrower types widen
	defer record.Release()
	rows, err := online.FromArrow(record, schema, "at")
	if err != nil || len(rows) != 1 {
		t.Fatalf("got %v (%v)", rows, err)
	}
	if values, err := schema.DecodeRow(rows[0].Value, nil); err != nil || values[0] != nil {
		t.Fatalf("the null is %v (%v)", values, err)
	}
	if _, err := online.FromArrow(record, schema, "when"); resource.KindOf(err) != resource.Invalid || err == nil {
		t.Fatalf("a missing time column gives %v", err)
	}
}
