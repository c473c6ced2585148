package online

import (
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"math"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/alvara-ml/alvara/resource"
)

// A row is: format byte, schema mark (4 bytes), null bitmap, one slot per feature, variable part. All numbers are
// little-endian. The slot of text or bytes holds the end of its place in the variable part; it begins where the one
// before it ends. The slot of a null is zero, or repeats the end before it.
const (
	rowFormat   = 1
	headerBytes = 5
)

// AppendRow encodes one row of feature values, in the order of Features. A value is nil for null or of the Go type
// that stands for the column's type.
func (s *Schema) AppendRow(to []byte, values []any) ([]byte, error) {
	if len(values) != len(s.features) {
		return nil, resource.Invalidf("InvalidRow", "the row has %d values where the table has %d features", len(values), len(s.features))
	}
	start := len(to)
	to = s.begin(to)
	for i, value := range values {
		row := to[start:]
		if value == nil {
			s.setNull(row, i)
			continue
		}
		var err error
		if to, err = s.set(to, start, i, value); err != nil {
			return nil, err
		}
	}
	return to, nil
}

func (s *Schema) begin(to []byte) []byte {
	start := len(to)
	to = append(to, rowFormat)
	to = binary.LittleEndian.AppendUint32(to, s.mark)
	for len(to)-start < s.fixed {
		to = append(to, 0)
	}
	return to
}

func (s *Schema) setNull(row []byte, i int) {
	row[headerBytes+i/8] |= 1 << (i % 8)
	if t := s.features[i].Type; t == String || t == Binary {
		binary.LittleEndian.PutUint32(row[s.slots[i]:], uint32(len(row)-s.fixed))
	}
}

func (s *Schema) set(to []byte, start, i int, value any) ([]byte, error) {
	slot := to[start+s.slots[i]:]
	column := s.features[i]
	switch v := value.(type) {
	case string:
		if column.Type == String {
			return s.setVariable(append(to, v...), start, i)
		}
	case []byte:
		if column.Type == Binary {
			return s.setVariable(append(to, v...), start, i)
		}
	case int32:
		if column.Type == Integer {
			binary.LittleEndian.PutUint32(slot, uint32(v))
			return to, nil
		}
	case int64:
		if column.Type == Long {
			binary.LittleEndian.PutUint64(slot, uint64(v))
			return to, nil
		}
	case float32:
		if column.Type == Float {
			binary.LittleEndian.PutUint32(slot, math.Float32bits(v))
			return to, nil
		}
	case float64:
		if column.Type == Double {
			binary.LittleEndian.PutUint64(slot, math.Float64bits(v))
			return to, nil
		}
	case time.Time:
		if column.Type == Datetime {
			binary.LittleEndian.PutUint64(slot, uint64(v.UnixMicro()))
			return to, nil
		}
	case bool:
		if column.Type == Boolean {
			if v {
				slot[0] = 1
			}
			return to, nil
		}
	}
	return nil, resource.Invalidf("InvalidRow", "the value of %q is a %T, which does not stand for %s", column.Name, value, column.Type).At(column.Name)
}

func (s *Schema) setVariable(to []byte, start, i int) ([]byte, error) {
	size := len(to) - start - s.fixed
	if size > math.MaxInt32 {
		return nil, resource.Invalidf("InvalidRow", "the row's text and bytes have %d bytes; at most 2 GiB are allowed", size).At(s.features[i].Name)
	}
	binary.LittleEndian.PutUint32(to[start+s.slots[i]:], uint32(size))
	return to, nil
}

// Check tells whether value is a whole row of this schema, so that the other readers may rely on its offsets.
func (s *Schema) Check(value []byte) error {
	if len(value) < s.fixed || value[0] != rowFormat || binary.LittleEndian.Uint32(value[1:]) != s.mark {
		return fmt.Errorf("online row: %d bytes are no row of this table's schema", len(value))
	}
	before, rest := uint32(0), uint32(len(value)-s.fixed)
	for i, column := range s.features {
		if column.Type != String && column.Type != Binary {
			continue
		}
		end := binary.LittleEndian.Uint32(value[s.slots[i]:])
		if end < before || end > rest {
			return fmt.Errorf("online row: the place of %q lies outside the row", column.Name)
		}
		before = end
	}
	if before != rest {
		return fmt.Errorf("online row: %d bytes at the end belong to no feature", rest-before)
	}
	return nil
}

// DecodeRow gives a row's values as AppendRow takes them; into is reused when it is long enough. Text and bytes are
// copies. A value that is no row of this schema gives an error.
func (s *Schema) DecodeRow(value []byte, into []any) ([]any, error) {
	if err := s.Check(value); err != nil {
		return nil, err
	}
	into = into[:0]
	before := uint32(0)
	for i, column := range s.features {
		slot := value[s.slots[i]:]
		var from uint32
		if column.Type == String || column.Type == Binary {
			from, before = before, binary.LittleEndian.Uint32(slot)
		}
		if s.null(value, i) {
			into = append(into, nil)
			continue
		}
		switch column.Type {
		case String:
			into = append(into, string(value[s.fixed+int(from):s.fixed+int(before)]))
		case Binary:
			into = append(into, append([]byte{}, value[s.fixed+int(from):s.fixed+int(before)]...))
		case Integer:
			into = append(into, int32(binary.LittleEndian.Uint32(slot)))
		case Long:
			into = append(into, int64(binary.LittleEndian.Uint64(slot)))
		case Float:
			into = append(into, math.Float32frombits(binary.LittleEndian.Uint32(slot)))
		case Double:
			into = append(into, math.Float64frombits(binary.LittleEndian.Uint64(slot)))
		case Datetime:
			into = append(into, time.UnixMicro(int64(binary.LittleEndian.Uint64(slot))).UTC())
		case Boolean:
			into = append(into, slot[0] != 0)
		}
	}
	return into, nil
}

func (s *Schema) null(value []byte, i int) bool { return value[headerBytes+i/8]&(1<<(i%8)) != 0 }

// AppendJSON writes a row's values as a JSON object, straight from its encoding: datetime as RFC 3339 in UTC, binary as
// base64, and null for nulls and for numbers that JSON cannot write (NaN, infinities). only selects features by their
// position, in any order; nil selects all.
func (s *Schema) AppendJSON(to, value []byte, only []int) ([]byte, error) {
	return s.appendJSON(to, value, only, true)
}

// AppendJSONArray is AppendJSON for an array of the values without names.
func (s *Schema) AppendJSONArray(to, value []byte, only []int) ([]byte, error) {
	return s.appendJSON(to, value, only, false)
}

func (s *Schema) appendJSON(to, value []byte, only []int, named bool) ([]byte, error) {
	if err := s.Check(value); err != nil {
		return nil, err
	}
	open, end := byte('['), byte(']')
	if named {
		open, end = '{', '}'
	}
	to = append(to, open)
	count := len(s.features)
	if only != nil {
		count = len(only)
	}
	for n := range count {
		i := n
		if only != nil {
			i = only[n]
		}
		if n > 0 {
			to = append(to, ',')
		}
		if named {
			to = append(to, s.names[i]...)
		}
		to = s.appendJSONValue(to, value, i)
	}
	return append(to, end), nil
}

func (s *Schema) appendJSONValue(to, value []byte, i int) []byte {
	if s.null(value, i) {
		return append(to, "null"...)
	}
	slot := value[s.slots[i]:]
	switch s.features[i].Type {
	case Integer:
		return strconv.AppendInt(to, int64(int32(binary.LittleEndian.Uint32(slot))), 10)
	case Long:
		return strconv.AppendInt(to, int64(binary.LittleEndian.Uint64(slot)), 10)
	case Float:
		return appendFloat(to, float64(math.Float32frombits(binary.LittleEndian.Uint32(slot))), 32)
	case Double:
		return appendFloat(to, math.Float64frombits(binary.LittleEndian.Uint64(slot)), 64)
	case Datetime:
		return appendTime(to, int64(binary.LittleEndian.Uint64(slot)))
	case Boolean:
		return strconv.AppendBool(to, slot[0] != 0)
	case Binary:
		to = append(to, '"')
		to = base64.StdEncoding.AppendEncode(to, s.variable(value, i))
		return append(to, '"')
	default:
		return appendString(to, s.variable(value, i))
	}
}

// variable is the place of text or bytes; it begins at the end of the nearest such feature before it.
func (s *Schema) variable(value []byte, i int) []byte {
	end := binary.LittleEndian.Uint32(value[s.slots[i]:])
	from := uint32(0)
	for j := i - 1; j >= 0; j-- {
		if t := s.features[j].Type; t == String || t == Binary {
			from = binary.LittleEndian.Uint32(value[s.slots[j]:])
			break
		}
	}
	return value[s.fixed+int(from) : s.fixed+int(end)]
}

// appendFloat writes whole numbers of moderate size as such: it is five times as fast, and counts are common features.
func appendFloat(to []byte, v float64, bits int) []byte {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return append(to, "null"...)
	}
	if whole := int64(v); v > -1e15 && v < 1e15 && float64(whole) == v && (whole != 0 || !math.Signbit(v)) {
		return strconv.AppendInt(to, whole, 10)
	}
	if size := math.Abs(v); size < 1e-6 || size >= 1e21 {
		return strconv.AppendFloat(to, v, 'e', -1, bits)
	}
	return strconv.AppendFloat(to, v, 'f', -1, bits)
}

func appendTime(to []byte, micros int64) []byte {
	to = append(to, '"')
	to = time.UnixMicro(micros).UTC().AppendFormat(to, "2006-01-02T15:04:05.999999Z07:00")
	return append(to, '"')
}

// appendString quotes text for JSON; bytes that are no UTF-8 become the replacement character.
func appendString(to, text []byte) []byte {
	const hex = "0123456789abcdef"
	to = append(to, '"')
	from := 0
	for i := 0; i < len(text); {
		c := text[i]
		if c >= utf8.RuneSelf {
			r, size := utf8.DecodeRune(text[i:])
			if r == utf8.RuneError && size == 1 {
				to = append(append(to, text[from:i]...), "\ufffd"...)
				from = i + 1
			}
			i += size
			continue
		}
		if c >= 0x20 && c != '"' && c != '\\' {
			i++
			continue
		}
		to = append(to, text[from:i]...)
		switch c {
		case '"', '\\':
			to = append(to, '\\', c)
		case '\n':
			to = append(to, '\\', 'n')
		case '\t':
			to = append(to, '\\', 't')
		case '\r':
			to = append(to, '\\', 'r')
		default:
			to = append(to, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
		}
		i++
		from = i
	}
	return append(append(to, text[from:]...), '"')
}
