package online

import (
	"encoding/binary"
	"fmt"
	"math"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

	"github.com/alvara-ml/alvara/resource"
)

// FromArrow encodes a record batch: the columns are found by the names of the schema, timestamp names the event time.
// Narrower integers widen; the unit of times may be any. A missing column, a column of another type and a null in an
// index column or the event time are Invalid. The rows share memory and do not refer to the record.
func FromArrow(record arrow.RecordBatch, schema *Schema, timestamp string) ([]Row, error) {
	event, err := eventTimes(record, timestamp)
	if err != nil {
		return nil, err
	}
	keys, err := cells(record, schema.index)
	if err != nil {
		return nil, err
	}
	features, err := cells(record, schema.features)
	if err != nil {
		return nil, err
	}
	count := int(record.NumRows())
	arena := make([]byte, 0, count*(schema.fixed+32))
	marks := make([][3]int, count) // begin of key, begin of value, end of value
	rows := make([]Row, count)
	for n := range count {
		micros, ok := event(n)
		if !ok {
			return nil, nullKey(timestamp, n)
		}
		rows[n].Event = time.UnixMicro(micros).UTC()
		marks[n][0] = len(arena)
		for i, c := range keys {
			if c.values.IsNull(n) {
				return nil, nullKey(schema.index[i].Name, n)
			}
			arena = c.appendKey(arena, n)
		}
		marks[n][1] = len(arena)
		arena = schema.begin(arena)
		for i, c := range features {
			if c.values.IsNull(n) {
				schema.setNull(arena[marks[n][1]:], i)
				continue
			}
			if arena, err = c.set(schema, arena, marks[n][1], i, n); err != nil {
				return nil, err
			}
		}
		marks[n][2] = len(arena)
	}
	for n, m := range marks {
		rows[n].Key, rows[n].Value = arena[m[0]:m[1]:m[1]], arena[m[1]:m[2]:m[2]]
	}
	return rows, nil
}

func nullKey(column string, row int) error {
	return resource.Invalidf("NullKey", "the column %q is null in row %d; index columns and the timestamp must have a value in every row", column, row).At(column)
}

// cell reads one column. Exactly one of the functions is set: the one for the column's kind of value.
type cell struct {
	column Column
	values arrow.Array
	bits   func(n int) uint64 // numbers, times and truth, as their encoding
	bytes  func(n int) []byte
}

func (c cell) appendKey(to []byte, n int) []byte {
	if c.bytes != nil {
		value := c.bytes(n)
		return append(binary.AppendUvarint(to, uint64(len(value))), value...)
	}
	bits := c.bits(n)
	switch c.column.Type {
	case Float:
		bits = uint64(canonical32(math.Float32frombits(uint32(bits))))
	case Double:
		bits = canonical64(math.Float64frombits(bits))
	}
	switch width(c.column.Type) {
	case 1:
		return append(to, byte(bits))
	case 4:
		return binary.LittleEndian.AppendUint32(to, uint32(bits))
	}
	return binary.LittleEndian.AppendUint64(to, bits)
}

func (c cell) set(schema *Schema, to []byte, start, i, n int) ([]byte, error) {
	if c.bytes != nil {
		return schema.setVariable(append(to, c.bytes(n)...), start, i)
	}
	slot := to[start+schema.slots[i]:]
	switch width(c.column.Type) {
	case 1:
		slot[0] = byte(c.bits(n))
	case 4:
		binary.LittleEndian.PutUint32(slot, uint32(c.bits(n)))
	default:
		binary.LittleEndian.PutUint64(slot, c.bits(n))
	}
	return to, nil
}

func find(record arrow.RecordBatch, name string) (arrow.Array, error) {
	at := record.Schema().FieldIndices(name)
	if len(at) != 1 {
		return nil, resource.Invalidf("SchemaMismatch", "the rows have %d columns %q where one is needed", len(at), name).At(name)
	}
	return record.Column(at[0]), nil
}

func cells(record arrow.RecordBatch, columns []Column) ([]cell, error) {
	out := make([]cell, len(columns))
	for i, column := range columns {
		values, err := find(record, column.Name)
		if err != nil {
			return nil, err
		}
		c := cell{column: column, values: values}
		if !c.read() {
			return nil, resource.Invalidf("SchemaMismatch", "the column %q should be %s and is %s; cast it in the transformation", column.Name, column.Type, values.DataType()).At(column.Name)
		}
		out[i] = c
	}
	return out, nil
}

// read chooses how the column's values are read; false when they are of another type.
func (c *cell) read() bool {
	switch values := c.values.(type) {
	case *array.Int8:
		c.bits = func(n int) uint64 { return uint64(int64(values.Value(n))) }
		return c.column.Type == Integer || c.column.Type == Long
	case *array.Int16:
		c.bits = func(n int) uint64 { return uint64(int64(values.Value(n))) }
		return c.column.Type == Integer || c.column.Type == Long
	case *array.Int32:
		c.bits = func(n int) uint64 { return uint64(int64(values.Value(n))) }
		return c.column.Type == Integer || c.column.Type == Long
	case *array.Int64:
		c.bits = func(n int) uint64 { return uint64(values.Value(n)) }
		return c.column.Type == Long
	case *array.Float32:
		if c.column.Type == Double {
			c.bits = func(n int) uint64 { return math.Float64bits(float64(values.Value(n))) }
			return true
		}
		c.bits = func(n int) uint64 { return uint64(math.Float32bits(values.Value(n))) }
		return c.column.Type == Float
	case *array.Float64:
		c.bits = func(n int) uint64 { return math.Float64bits(values.Value(n)) }
		return c.column.Type == Double
	case *array.Boolean:
		c.bits = func(n int) uint64 {
			if values.Value(n) {
				return 1
			}
			return 0
		}
		return c.column.Type == Boolean
	case *array.Timestamp:
		micros, err := microseconds(values)
		c.bits = func(n int) uint64 { return uint64(micros(n)) }
		return err == nil && c.column.Type == Datetime
	case *array.Binary:
		c.bytes = values.Value
		return c.column.Type == Binary
	case *array.LargeBinary:
		c.bytes = values.Value
		return c.column.Type == Binary
	case *array.String:
		c.bytes = func(n int) []byte { return []byte(values.Value(n)) }
		return c.column.Type == String
	case *array.LargeString:
		c.bytes = func(n int) []byte { return []byte(values.Value(n)) }
		return c.column.Type == String
	case *array.StringView:
		c.bytes = func(n int) []byte { return []byte(values.Value(n)) }
		return c.column.Type == String
	}
	return false
}

func microseconds(values *array.Timestamp) (func(n int) int64, error) {
	var divide, multiply int64 = 1, 1
	switch unit := values.DataType().(*arrow.TimestampType).Unit; unit {
	case arrow.Second:
		multiply = 1_000_000
	case arrow.Millisecond:
		multiply = 1_000
	case arrow.Microsecond:
	case arrow.Nanosecond:
		divide = 1_000
	default:
		return nil, fmt.Errorf("unknown unit of time %v", unit)
	}
	return func(n int) int64 {
		v := int64(values.Value(n)) * multiply
		if v < 0 && v%divide != 0 {
			return v/divide - 1 // towards the past, as for times after 1970
		}
		return v / divide
	}, nil
}

func eventTimes(record arrow.RecordBatch, name string) (func(n int) (int64, bool), error) {
	values, err := find(record, name)
	if err != nil {
		return nil, err
	}
	times, ok := values.(*array.Timestamp)
	if !ok {
		return nil, resource.Invalidf("SchemaMismatch", "the timestamp column %q should be datetime and is %s; cast it in the transformation", name, values.DataType()).At(name)
	}
	micros, err := microseconds(times)
	if err != nil {
		return nil, err
	}
	return func(n int) (int64, bool) { return micros(n), !times.IsNull(n) }, nil
}
