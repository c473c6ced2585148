package graph

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/alvara-ml/alvara/resource"
)

const (
	maxBodyBytes = 1 << 20
	maxDepth     = 32
)

// fields is a JSON object of a request body. What is taken out is known; what remains in the end is judged by done.
type fields struct {
	path   string // where the object stands in the body, such as "passwordProfile."
	values map[string]json.RawMessage
}

// readBody reads a body that must be one JSON object of at most 1 MiB, without names that occur twice.
func readBody(r *http.Request) (*fields, error) {
	body, err := io.ReadAll(io.LimitReader(r.Body, maxBodyBytes+1))
	if err != nil {
		return nil, resource.Invalidf(badRequest, "the request body broke off: %v", err)
	}
	if len(body) > maxBodyBytes {
		return nil, resource.Errorf(resource.TooLarge, "Request_EntityTooLarge", "the request body is larger than %d bytes.", maxBodyBytes)
	}
	if len(bytes.TrimSpace(body)) == 0 {
		return nil, resource.Invalidf(badRequest, "Empty Payload. JSON content expected.")
	}
	if !utf8.Valid(body) {
		return nil, resource.Invalidf(badRequest, "the request body is not valid UTF-8.")
	}
	decoder := json.NewDecoder(bytes.NewReader(body))
	if err := checkJSON(decoder, 0); err != nil {
		return nil, err
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return nil, resource.Invalidf(badRequest, "the request body has more after the JSON object.")
	}
	return object("", body)
}

// checkJSON refuses what is no JSON, is nested too deep, or has a name twice in one object: what would be made of those is
// anybody's guess.
func checkJSON(decoder *json.Decoder, depth int) error {
	if depth > maxDepth {
		return resource.Invalidf(badRequest, "the request body is nested deeper than %d levels.", maxDepth)
	}
	token, err := decoder.Token()
	if err != nil {
		return unreadable(err)
	}
	delim, ok := token.(json.Delim)
	if !ok {
		return nil
	}
	seen := map[string]bool{}
	for decoder.More() {
		if delim == '{' {
			name, err := decoder.Token()
			if err != nil {
				return unreadable(err)
			}
			text, _ := name.(string)
			if seen[text] {
				return resource.Invalidf(badRequest, "the request body has the name %q twice in one object.", text).At(text)
			}
			seen[text] = true
		}
		if err := checkJSON(decoder, depth+1); err != nil {
			return err
		}
	}
	if _, err = decoder.Token(); err != nil {
		return unreadable(err)
	}
	return nil
}

func unreadable(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return resource.Invalidf(badRequest, "Unable to read JSON request payload: it ends too early.")
	}
	return resource.Invalidf(badRequest, "Unable to read JSON request payload: %v.", err)
}

func object(path string, text []byte) (*fields, error) {
	f := &fields{path: path}
	if err := json.Unmarshal(text, &f.values); err != nil || f.values == nil {
		where := strings.TrimSuffix(path, ".")
		if where == "" {
			where = "the request body"
		}
		return nil, resource.Invalidf(badRequest, "%s must be a JSON object.", where).At(where)
	}
	return f, nil
}

// take decodes a field and says whether it was given; null is as if it were not.
func take[T any](f *fields, name, expected string, into *T) (bool, error) {
	raw, ok := f.values[name]
	delete(f.values, name)
	if !ok || string(raw) == "null" {
		return false, nil
	}
	if err := json.Unmarshal(raw, into); err != nil {
		return false, resource.Invalidf(badRequest, "%s%s must be %s.", f.path, name, expected).At(f.path + name)
	}
	return true, nil
}

func (f *fields) text(name string) (value string, given bool, err error) {
	given, err = take(f, name, "a string", &value)
	return value, given, err
}

// required is text that must be there and not empty.
func (f *fields) required(name string) (string, error) {
	value, _, err := f.text(name)
	if err == nil && strings.TrimSpace(value) == "" {
		err = resource.Invalidf(badRequest, "A value is required for property '%s%s' of the request body.", f.path, name).At(f.path + name)
	}
	return value, err
}

func (f *fields) flag(name string) (value, given bool, err error) {
	given, err = take(f, name, "true or false", &value)
	return value, given, err
}

func (f *fields) time(name string) (value time.Time, err error) {
	_, err = take(f, name, "a time such as 2030-01-31T12:00:00Z", &value)
	return value, err
}

func (f *fields) texts(name string) (values []string, given bool, err error) {
	given, err = take(f, name, "a list of strings", &values)
	return values, given, err
}

func (f *fields) object(name string) (*fields, error) {
	var raw json.RawMessage
	given, err := take(f, name, "an object", &raw)
	if err != nil || !given {
		return nil, err
	}
	return object(f.path+name+".", raw)
}

func (f *fields) objects(name string) (list []*fields, given bool, err error) {
	var raws []json.RawMessage
	if given, err = take(f, name, "a list of objects", &raws); err != nil || !given {
		return nil, given, err
	}
	for _, raw := range raws {
		o, err := object(f.path+name+".", raw)
		if err != nil {
			return nil, true, err
		}
		list = append(list, o)
	}
	return list, true, nil
}

// done refuses what remains, except annotations and the names that Graph has and this directory makes no use of.
func (f *fields) done(ignored ...string) error {
	for name := range f.values {
		if strings.HasPrefix(name, "@odata.") || slices.Contains(ignored, name) {
			delete(f.values, name)
		}
	}
	if len(f.values) == 0 {
		return nil
	}
	names := make([]string, 0, len(f.values))
	for name := range f.values {
		names = append(names, "'"+f.path+name+"'")
	}
	slices.Sort(names)
	return resource.Invalidf(badRequest, "One or more property values specified are invalid: the directory has no property %s here that can be set; leave it out.",
		strings.Join(names, ", ")).At(strings.Trim(names[0], "'"))
}
