package online_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"pgregory.net/rapid"

	"github.com/alvara-ml/alvara/featurestore/online"
	"github.com/alvara-ml/alvara/resource"
)

var allTypes = []online.Type{online.String, online.Integer, online.Long, online.Float, online.Double, online.Binary, online.Datetime, online.Boolean}

func drawColumns(t *rapid.T, prefix string, least, most int) []online.Column {
	columns := make([]online.Column, rapid.IntRange(least, most).Draw(t, prefix))
	for i := range columns {
		columns[i] = online.Column{Name: fmt.Sprintf("%s%d \"é\"", prefix, i), Type: rapid.SampledFrom(allTypes).Draw(t, "type")}
	}
	return columns
}

func drawValue(t *rapid.T, kind online.Type) any {
	switch kind {
	case online.String:
		return rapid.String().Draw(t, "string")
	case online.Integer:
		return rapid.Int32().Draw(t, "integer")
	case online.Long:
		return rapid.Int64().Draw(t, "long")
	case online.Float:
		return rapid.Float32().Draw(t, "float")
	case online.Double:
		return rapid.Float64().Draw(t, "double")
	case online.Binary:
		return rapid.SliceOf(rapid.Byte()).Draw(t, "binary")
	case online.Datetime:
		return time.UnixMicro(rapid.Int64Range(-62135596800_000000, 253402300799_999999).Draw(t, "datetime")).UTC()
	default:
		return rapid.Bool().Draw(t, "boolean")
	}
}

func drawValues(t *rapid.T, columns []online.Column, nulls bool) []any {
	values := make([]any, len(columns))
	for i, column := range columns {
		if !nulls || rapid.IntRange(0, 3).Draw(t, "null") > 0 {
			values[i] = drawValue(t, column.Type)
		}
	}
	return values
}

func drawSchema(t *rapid.T) *online.Schema {
	schema, err := online.NewSchema(drawColumns(t, "index", 1, 4), drawColumns(t, "feature", 0, 20))
	if err != nil {
		t.Fatal(err)
	}
	return schema
}

func TestRowsAndKeysRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		schema := drawSchema(t)
		values := drawValues(t, schema.Features(), true)
		row, err := schema.AppendRow([]byte("before"), values)
		if err != nil {
			t.Fatal(err)
		}
		got, err := schema.DecodeRow(row[len("before"):], nil)
		if err != nil || !reflect.DeepEqual(append([]any{}, got...), append([]any{}, values...)) {
			t.Fatalf("%v came back as %v (%v)", values, got, err)
		}
		key := drawValues(t, schema.Index(), false)
		encoded, err := schema.AppendKey(nil, key)
		if err != nil {
			t.Fatal(err)
		}
		back, err := schema.DecodeKey(encoded)
		if err != nil || !same(back, key) {
			t.Fatalf("%v came back as %v (%v)", key, back, err)
		}
		other := drawValues(t, schema.Index(), false)
		encodedOther, err := schema.AppendKey(nil, other)
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Equal(encoded, encodedOther) != same(key, other) {
			t.Fatalf("the keys %v and %v are %x and %x", key, other, encoded, encodedOther)
		}
	})
}

// same compares as an equality join does: -0 is 0.
func same(a, b []any) bool {
	return slices.EqualFunc(a, b, func(x, y any) bool {
		if xb, ok := x.([]byte); ok {
			return bytes.Equal(xb, y.([]byte))
		}
		return x == y
	})
}

func TestSchemaRoundTripsAsJSON(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		schema := drawSchema(t)
		text, err := json.Marshal(schema)
		if err != nil {
			t.Fatal(err)
		}
		var back online.Schema
		if err := json.Unmarshal(text, &back); err != nil || !back.Equal(schema) {
			t.Fatalf("%s came back as %v (%v)", text, &back, err)
		}
		values := drawValues(t, schema.Features(), true)
		row, err := schema.AppendRow(nil, values)
		if err != nil {
			t.Fatal(err)
		}
		if err := back.Check(row); err != nil {
			t.Fatal(err)
		}
	})
}

// The JSON of a row says what the values say, as encoding/json reads it.
func TestJSONSaysWhatTheRowSays(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		schema := drawSchema(t)
		values := drawValues(t, schema.Features(), true)
		row, err := schema.AppendRow(nil, values)
		if err != nil {
			t.Fatal(err)
		}
		object, err := schema.AppendJSON([]byte("x"), row, nil)
		if err != nil {
			t.Fatal(err)
		}
		var named map[string]json.RawMessage
		if err := json.Unmarshal(object[1:], &named); err != nil || len(named) != len(values) {
			t.Fatalf("%s is no object of %d features: %v", object[1:], len(values), err)
		}
		list, err := schema.AppendJSONArray(nil, row, nil)
		if err != nil {
			t.Fatal(err)
		}
		var array []json.RawMessage
		if err := json.Unmarshal(list, &array); err != nil || len(array) != len(values) {
			t.Fatalf("%s is no array of %d features: %v", list, len(values), err)
		}
		for i, column := range schema.Features() {
			if string(named[column.Name]) != string(array[i]) {
				t.Fatalf("%s differs from %s", named[column.Name], array[i])
			}
			if err := says(array[i], values[i]); err != nil {
				t.Fatal(err)
			}
		}
		if len(values) > 1 {
			some, err := schema.AppendJSONArray(nil, row, []int{len(values) - 1, 0})
			if err != nil || string(some) != fmt.Sprintf("[%s,%s]", array[len(values)-1], array[0]) {
				t.Fatalf("the selection is %s (%v)", some, err)
			}
		}
	})
}

func says(text json.RawMessage, value any) error {
	var err error
	equal := false
	switch v := value.(type) {
	case nil:
		equal = string(text) == "null"
	case string:
		var got string
		err = json.Unmarshal(text, &got)
		equal = got == v
	case []byte:
		var got string
		err = json.Unmarshal(text, &got)
		equal = got == base64.StdEncoding.EncodeToString(v)
	case float64:
		var got float64
		err = json.Unmarshal(text, &got)
		equal = got == v && math.Signbit(got) == math.Signbit(v)
	case float32:
		var got float32
		err = json.Unmarshal(text, &got)
		equal = got == v && math.Signbit(float64(got)) == math.Signbit(float64(v))
	case time.Time:
		var got time.Time
		err = json.Unmarshal(text, &got)
		equal = got.Equal(v)
	default:
		equal = string(text) == fmt.Sprint(v)
	}
	if err != nil || !equal {
		return fmt.Errorf("the JSON %s does not say %v (%v)", text, value, err)
	}
	return nil
}

func TestJSONOfWhatJSONCannotSay(t *testing.T) {
	schema, err := online.NewSchema([]online.Column{{Name: "k", Type: online.Long}}, []online.Column{
		{Name: "a", Type: online.Double}, {Name: "b", Type: online.Double}, {Name: "c", Type: online.Float}, {Name: "d", Type: online.String},
	})
	if err != nil {
		t.Fatal(err)
	}
	row, err := schema.AppendRow(nil, []any{math.NaN(), math.Inf(-1), float32(math.Inf(1)), "a\xffb\u2028<\x00"})
	if err != nil {
		t.Fatal(err)
	}
	got, err := schema.AppendJSON(nil, row, nil)
	want := "{\"a\":null,\"b\":null,\"c\":null,\"d\":\"a\ufffdb\u2028<\\u0000\"}"
	if err != nil || string(got) != want || !json.Valid(got) || !utf8.Valid(got) {
		t.Fatalf("got %s (%v), want %s", got, err, want)
	}
}

func TestSchemasAndValuesThatDoNotFitAreRefused(t *testing.T) {
	index := []online.Column{{Name: "k", Type: online.Long}}
	for _, c := range []struct{ index, features []online.Column }{
		{nil, index},
		{index, []online.Column{{Name: "", Type: online.Long}}},
		{index, []online.Column{{Name: "k", Type: online.Long}}},
		{index, []online.Column{{Name: "f", Type: "decimal"}}},
	} {
		if _, err := online.NewSchema(c.index, c.features); resource.KindOf(err) != resource.Invalid || err == nil {
			t.Fatalf("the schema %v was taken: %v", c, err)
		}
	}
	schema, err := online.NewSchema(index, []online.Column{{Name: "f", Type: online.Long}})
	if err != nil {
		t.Fatal(err)
	}
	for _, values := range [][]any{{}, {int32(1)}, {"1"}, {1}, {1.0}, {int64(1), int64(2)}} {
		if _, err := schema.AppendRow(nil, values); resource.KindOf(err) != resource.Invalid || err == nil {
			t.Fatalf("the row %v was taken: %v", values, err)
		}
		if _, err := schema.AppendKey(nil, values); resource.KindOf(err) != resource.Invalid || err == nil {
			t.Fatalf("the key %v was taken: %v", values, err)
		}
	}
	if _, err := schema.AppendKey(nil, []any{nil}); err == nil || !strings.Contains(err.Error(), `"k"`) {
		t.Fatalf("a null key was taken: %v", err)
	}
	other, err := online.NewSchema(index, []online.Column{{Name: "g", Type: online.Long}})
	if err != nil {
		t.Fatal(err)
	}
	row, err := other.AppendRow(nil, []any{int64(1)})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := schema.DecodeRow(row, nil); err == nil {
		t.Fatal("a row of another schema was read")
	}
}

// Whatever bytes are stored, reading gives values or an error and never panics; what is read encodes to what reads the same.
func FuzzDecode(f *testing.F) {
	schema, err := online.NewSchema(
		[]online.Column{{Name: "a", Type: online.String}, {Name: "b", Type: online.Boolean}, {Name: "c", Type: online.Binary}},
		[]online.Column{{Name: "d", Type: online.String}, {Name: "e", Type: online.Double}, {Name: "f", Type: online.Binary}, {Name: "g", Type: online.Boolean}, {Name: "h", Type: online.Datetime}},
	)
	if err != nil {
		f.Fatal(err)
	}
	row, err := schema.AppendRow(nil, []any{"text", 1.5, []byte{1, 2}, nil, time.UnixMicro(7)})
	if err != nil {
		f.Fatal(err)
	}
	key, err := schema.AppendKey(nil, []any{"text", true, []byte{1}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(row)
	f.Add(key)
	f.Add(row[:len(row)-1])
	f.Add(append(bytes.Clone(row), 0))
	f.Fuzz(func(t *testing.T, stored []byte) {
		if values, err := schema.DecodeRow(stored, nil); err == nil {
			text, err := schema.AppendJSON(nil, stored, nil)
			if err != nil || !json.Valid(text) {
				t.Fatalf("the row %x gives the JSON %s (%v)", stored, text, err)
			}
			if _, err := schema.AppendRow(nil, values); err != nil {
				t.Fatal(err)
			}
		}
		if values, err := schema.DecodeKey(stored); err == nil {
			if _, err := schema.AppendKey(nil, values); err != nil {
				t.Fatal(err)
			}
		}
	})
}
