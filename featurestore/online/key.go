package online

import (
	"encoding/binary"
	"fmt"
	"math"
	"time"

	"github.com/alvara-ml/alvara/resource"
)

// A key is the index columns one after the other: numbers in their width, text and bytes behind their length. Equal
// values give equal bytes and different ones different bytes; the order of keys means nothing.

// AppendKey encodes the values of the index columns. None may be null; the Go types are those of AppendRow.
func (s *Schema) AppendKey(to []byte, values []any) ([]byte, error) {
	if len(values) != len(s.index) {
		return nil, resource.Invalidf("InvalidKey", "the key has %d values where the table has %d index columns", len(values), len(s.index))
	}
	for i, column := range s.index {
		var ok bool
		if to, ok = appendKeyValue(to, column.Type, values[i]); !ok {
			return nil, resource.Invalidf("InvalidKey", "the value of the index column %q is a %T, which does not stand for %s", column.Name, values[i], column.Type).At(column.Name)
		}
	}
	return to, nil
}

func appendKeyValue(to []byte, t Type, value any) ([]byte, bool) {
	switch v := value.(type) {
	case string:
		return append(binary.AppendUvarint(to, uint64(len(v))), v...), t == String
	case []byte:
		return append(binary.AppendUvarint(to, uint64(len(v))), v...), t == Binary
	case int32:
		return binary.LittleEndian.AppendUint32(to, uint32(v)), t == Integer
	case int64:
		return binary.LittleEndian.AppendUint64(to, uint64(v)), t == Long
	case float32:
		return binary.LittleEndian.AppendUint32(to, canonical32(v)), t == Float
	case float64:
		return binary.LittleEndian.AppendUint64(to, canonical64(v)), t == Double
	case time.Time:
		return binary.LittleEndian.AppendUint64(to, uint64(v.UnixMicro())), t == Datetime
	case bool:
		if v {
			return append(to, 1), t == Boolean
		}
		return append(to, 0), t == Boolean
	}
	return to, false
}

// canonical64 gives numbers that compare equal one form: -0 is 0, and there is one NaN.
func canonical64(v float64) uint64 {
	if v == 0 {
		return 0
	}
	if math.IsNaN(v) {
		return math.Float64bits(math.NaN())
	}
	return math.Float64bits(v)
}

func canonical32(v float32) uint32 {
	if v == 0 {
		return 0
	}
	if v != v {
		return 0x7fc00000
	}
	return math.Float32bits(v)
}

// DecodeKey gives the values of a key; bytes that are no key of this schema give an error.
func (s *Schema) DecodeKey(key []byte) ([]any, error) {
	values := make([]any, 0, len(s.index))
	for _, column := range s.index {
		size, head := uint64(width(column.Type)), 0
		if column.Type == String || column.Type == Binary {
			size, head = binary.Uvarint(key)
			if head <= 0 || (head > 1 && key[head-1] == 0) {
				return nil, fmt.Errorf("online key: the length of %q is malformed", column.Name)
			}
		}
		if size > uint64(len(key)-head) {
			return nil, fmt.Errorf("online key: it ends inside %q", column.Name)
		}
		part := key[head : head+int(size)]
		key = key[head+int(size):]
		switch column.Type {
		case String:
			values = append(values, string(part))
		case Binary:
			values = append(values, append([]byte{}, part...))
		case Integer:
			values = append(values, int32(binary.LittleEndian.Uint32(part)))
		case Long:
			values = append(values, int64(binary.LittleEndian.Uint64(part)))
		case Float:
			values = append(values, math.Float32frombits(binary.LittleEndian.Uint32(part)))
		case Double:
			values = append(values, math.Float64frombits(binary.LittleEndian.Uint64(part)))
		case Datetime:
			values = append(values, time.UnixMicro(int64(binary.LittleEndian.Uint64(part))).UTC())
		case Boolean:
			values = append(values, part[0] != 0)
		}
	}
	if len(key) != 0 {
		return nil, fmt.Errorf("online key: %d bytes follow the last index column", len(key))
	}
	return values, nil
}
