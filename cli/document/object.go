// Package document holds JSON and YAML documents whose keys keep their order, so that what a server or a file says is
// printed in the order in which it was said. It owns decoding, encoding and lookups; it knows nothing of what the
// documents mean.
//
// A value is nil, a bool, a string, a json.Number (or any Go integer or float), a []any of values, or an *Object.
package document

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// Object is a JSON object that keeps the order of its keys. The zero Object and the nil Object are empty; reading from
// a nil Object is allowed, which makes chains such as doc.Object("properties").Text("state") safe. It is not safe for
// concurrent writes.
type Object struct {
	keys   []string
	values map[string]any
}

// New makes an object from pairs of key and value: New("name", "a", "size", 3).
func New(pairs ...any) *Object {
	o := &Object{}
	for i := 0; i+1 < len(pairs); i += 2 {
		o.Set(pairs[i].(string), pairs[i+1])
	}
	return o
}

// Keys gives the keys in order; the caller must not change the slice.
func (o *Object) Keys() []string {
	if o == nil {
		return nil
	}
	return o.keys
}

// Len is the number of keys.
func (o *Object) Len() int { return len(o.Keys()) }

// Has tells whether the key is there, even with the value nil.
func (o *Object) Has(key string) bool {
	if o == nil {
		return false
	}
	_, ok := o.values[key]
	return ok
}

// Get gives the value of a key, or nil.
func (o *Object) Get(key string) any {
	if o == nil {
		return nil
	}
	return o.values[key]
}

// Set puts a value at a key; a new key goes to the end.
func (o *Object) Set(key string, value any) *Object {
	if o.values == nil {
		o.values = map[string]any{}
	}
	if _, ok := o.values[key]; !ok {
		o.keys = append(o.keys, key)
	}
	o.values[key] = value
	return o
}

// SetIf puts a value unless it is empty: nil, "", an empty list or an empty object.
func (o *Object) SetIf(key string, value any) *Object {
	switch v := value.(type) {
	case nil:
		return o
	case string:
		if v == "" {
			return o
		}
	case []any:
		if len(v) == 0 {
			return o
		}
	case []string:
		if len(v) == 0 {
			return o
		}
		value = Strings(v)
	case *Object:
		if v.Len() == 0 {
			return o
		}
	}
	return o.Set(key, value)
}

// Delete removes a key.
func (o *Object) Delete(key string) {
	if !o.Has(key) {
		return
	}
	delete(o.values, key)
	o.keys = slices.DeleteFunc(o.keys, func(k string) bool { return k == key })
}

// Object gives the object that the path of keys leads to, or nil.
func (o *Object) Object(path ...string) *Object {
	at := o
	for _, key := range path {
		at, _ = at.Get(key).(*Object)
	}
	return at
}

// Text gives the string that the path of keys leads to, or "". Numbers and booleans are written out.
func (o *Object) Text(path ...string) string {
	if len(path) == 0 {
		return ""
	}
	switch v := o.Object(path[:len(path)-1]...).Get(path[len(path)-1]).(type) {
	case nil, []any, *Object:
		return ""
	case string:
		return v
	default:
		return fmt.Sprint(v)
	}
}

// List gives the list that the path of keys leads to, or nil.
func (o *Object) List(path ...string) []any {
	if len(path) == 0 {
		return nil
	}
	list, _ := o.Object(path[:len(path)-1]...).Get(path[len(path)-1]).([]any)
	return list
}

// Objects gives the objects in the list that the path of keys leads to; other elements are left out.
func (o *Object) Objects(path ...string) []*Object {
	var out []*Object
	for _, element := range o.List(path...) {
		if object, ok := element.(*Object); ok {
			out = append(out, object)
		}
	}
	return out
}

// Fold finds a key without regard to case and gives its value.
func (o *Object) Fold(key string) any {
	for _, k := range o.Keys() {
		if strings.EqualFold(k, key) {
			return o.values[k]
		}
	}
	return nil
}

// Clone copies the object, not what its values hold.
func (o *Object) Clone() *Object {
	out := &Object{}
	for _, key := range o.Keys() {
		out.Set(key, o.values[key])
	}
	return out
}

// Strings makes a list of values from strings.
func Strings(texts []string) []any {
	out := make([]any, len(texts))
	for i, text := range texts {
		out[i] = text
	}
	return out
}

// List makes a list of values from objects.
func List(objects []*Object) []any {
	out := make([]any, len(objects))
	for i, object := range objects {
		out[i] = object
	}
	return out
}

// MarshalJSON writes the keys in order.
func (o *Object) MarshalJSON() ([]byte, error) {
	if o == nil {
		return []byte("null"), nil
	}
	var b bytes.Buffer
	b.WriteByte('{')
	for i, key := range o.keys {
		if i > 0 {
			b.WriteByte(',')
		}
		if err := encode(&b, key); err != nil {
			return nil, err
		}
		b.WriteByte(':')
		if err := encode(&b, o.values[key]); err != nil {
			return nil, err
		}
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}

// UnmarshalJSON reads an object and keeps the order of its keys.
func (o *Object) UnmarshalJSON(text []byte) error {
	value, err := Decode(text)
	if err != nil {
		return err
	}
	object, ok := value.(*Object)
	if !ok {
		return fmt.Errorf("expected a JSON object")
	}
	*o = *object
	return nil
}

func encode(b *bytes.Buffer, value any) error {
	encoder := json.NewEncoder(b)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(value); err != nil {
		return err
	}
	b.Truncate(b.Len() - 1) // the encoder's newline
	return nil
}
