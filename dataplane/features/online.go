package features

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/alvara-ml/alvara/featurestore/online"
	"github.com/alvara-ml/alvara/featurestore/spec"
	"github.com/alvara-ml/alvara/resource"
)

// Limits of one online read.
const (
	maxOnlineBody = 4 << 20
	maxOnlineKeys = 10_000
	keptBuffer    = 1 << 20 // the largest answer whose buffer is used again
)

// OnlineRequest asks for features of entities. Keys holds, for each index column, the values of all entities, paired by
// position.
type OnlineRequest struct {
	Features []string                     `json:"features"`
	Keys     map[string][]json.RawMessage `json:"keys"`
}

// wanted is one feature set of an online read.
type wanted struct {
	set   *Set
	only  []int    // positions of the wanted features in the set's schema; nil for all
	names []string // of the result's columns
	plain bool     // the names are the schema's own, so that rows can be written straight from their encoding
	keys  [][]byte
}

func planOnline(s *Server, ctx context.Context, q *request) ([]need, func(context.Context, http.ResponseWriter) error, error) {
	var body OnlineRequest
	if err := readJSON(q.http, &body); err != nil {
		return nil, nil, err
	}
	sets, err := s.want(ctx, q.target, body.Features)
	if err != nil {
		// Whoever may not even read the store does not learn what is in it.
		return []need{{action: readStore, scopes: []resource.ID{q.target}}}, func(context.Context, http.ResponseWriter) error { return err }, nil
	}
	var needs []need
	for _, w := range sets {
		needs = append(needs, readNeeds(w.set)...)
	}
	return needs, func(ctx context.Context, w http.ResponseWriter) error { return s.readOnline(ctx, w, sets, body.Keys) }, nil
}

func readJSON(r *http.Request, into any) error {
	text, err := io.ReadAll(http.MaxBytesReader(nil, r.Body, maxOnlineBody))
	if err != nil {
		var large *http.MaxBytesError
		if errors.As(err, &large) {
			return resource.Errorf(resource.TooLarge, "RequestEntityTooLarge", "The request body is larger than %d bytes.", maxOnlineBody)
		}
		return resource.Invalidf("InvalidRequestContent", "the request body could not be read").Because(err)
	}
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(into); err != nil {
		return resource.Invalidf("InvalidRequestContent", "the request body is not as expected: %v", err)
	}
	return nil
}

// want resolves feature references, set by set in the order in which the sets are first named.
func (s *Server) want(ctx context.Context, store resource.ID, refs []string) ([]*wanted, error) {
	if len(refs) == 0 {
		return nil, resource.Invalidf("FeaturesRequired", "features is empty; references such as transactions:1 or accounts:1:accountAge were expected").At("features")
	}
	var sets []*wanted
	found := map[string]*wanted{}
	taken := map[string]string{}
	for _, text := range refs {
		ref, err := spec.ParseFeatureRef(text)
		if err != nil {
			return nil, err
		}
		key := strings.ToLower(ref.Set + ":" + ref.Version + ":" + ref.Prefix)
		w := found[key]
		if w == nil {
			set, err := s.Catalog.Set(ctx, store, ref.Set, ref.Version)
			if err != nil {
				return nil, err
			}
			if !set.Online {
				return nil, resource.Invalidf("UserError", "The feature set %s:%s is not materialized online; enable it with materialization_settings.online_enabled and backfill it.", ref.Set, ref.Version).At("features")
			}
			w = &wanted{set: set, plain: ref.Prefix == ""}
			found[key] = w
			sets = append(sets, w)
		}
		known := false
		for i, column := range w.set.Schema.Features() {
			if ref.Feature != "" && !strings.EqualFold(ref.Feature, column.Name) {
				continue
			}
			known = true
			name := ref.ColumnName(column.Name)
			if other, twice := taken[strings.ToLower(name)]; twice {
				return nil, resource.Invalidf("DuplicateColumnName", "Two features are called %q: one of %s and one of %s. Ask for both sets with a prefix, such as a=%s.", name, other, text, text).At("features")
			}
			taken[strings.ToLower(name)] = text
			w.only, w.names = append(w.only, i), append(w.names, name)
		}
		if !known {
			return nil, resource.Invalidf("FeatureNotFound", "The feature set %s:%s has no feature %q.", ref.Set, ref.Version, ref.Feature).At("features")
		}
	}
	return sets, nil
}

func (s *Server) readOnline(ctx context.Context, w http.ResponseWriter, sets []*wanted, keys map[string][]json.RawMessage) error {
	n, err := countKeys(keys)
	if err != nil {
		return err
	}
	for _, want := range sets {
		if err := want.encodeKeys(keys, n); err != nil {
			return err
		}
	}
	heads, err := newRowHeads(sets[0].set.Schema, keys)
	if err != nil {
		return err
	}
	buffer, _ := s.buffers.Get().(*[]byte)
	if buffer == nil {
		buffer = new([]byte)
	}
	defer s.buffers.Put(buffer)
	out := append((*buffer)[:0], `{"rows":[`...)
	if len(sets) == 1 {
		out, err = s.readOne(ctx, out, sets[0], heads, n)
	} else {
		out, err = s.readSeveral(ctx, out, sets, heads, n)
	}
	if err != nil {
		return err
	}
	out = append(out, `]}`...)
	if cap(out) <= keptBuffer {
		*buffer = out
	}
	w.Header()["Content-Type"] = []string{"application/json"}
	w.Header()["Content-Length"] = []string{strconv.Itoa(len(out))}
	_, _ = w.Write(out) // the caller has gone away; nobody is left to tell
	return nil
}

// readOne writes the rows of one set as they are read.
func (s *Server) readOne(ctx context.Context, out []byte, want *wanted, heads *rowHeads, n int) ([]byte, error) {
	err := s.read(ctx, want, n, func(i int, value []byte) error {
		if i > 0 {
			out = append(out, ',')
		}
		var err error
		if out, err = want.appendRow(heads.append(out, i), value); err == nil {
			out = append(out, '}')
		}
		return err
	})
	return out, err
}

// readSeveral reads set by set and puts the parts of each row together.
func (s *Server) readSeveral(ctx context.Context, out []byte, sets []*wanted, heads *rowHeads, n int) ([]byte, error) {
	rows := make([][]byte, n)
	for i := range rows {
		rows[i] = heads.append(make([]byte, 0, 512), i)
	}
	for _, want := range sets {
		err := s.read(ctx, want, n, func(i int, value []byte) error {
			var err error
			rows[i], err = want.appendRow(rows[i], value)
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	for i, row := range rows {
		if i > 0 {
			out = append(out, ',')
		}
		out = append(append(out, row...), '}')
	}
	return out, nil
}

// read calls yield for each of the n entities in order, with nil for one without a row.
func (s *Server) read(ctx context.Context, want *wanted, n int, yield func(i int, value []byte) error) error {
	err := s.Online.Get(ctx, want.set.Table(), want.keys, s.Clock(), func(i int, _ time.Time, value []byte) error { return yield(i, value) })
	if e, ok := resource.AsError(err); !ok || e.Code != "OnlineTableNotFound" {
		return err
	}
	for i := range n { // nothing was ever put online
		if err := yield(i, nil); err != nil {
			return err
		}
	}
	return nil
}

func countKeys(keys map[string][]json.RawMessage) (int, error) {
	n, first := -1, ""
	for column, values := range keys {
		if n >= 0 && len(values) != n {
			return 0, resource.Invalidf("InvalidKeys", "keys.%s has %d values and keys.%s has %d; they are paired by position and must be equally many", column, len(values), first, n).At("keys." + column)
		}
		n, first = len(values), column
	}
	switch {
	case n <= 0:
		return 0, resource.Invalidf("InvalidKeys", "keys is empty; the values of each index column were expected, such as {\"accountID\": [\"A1\"]}").At("keys")
	case n > maxOnlineKeys:
		return 0, resource.Invalidf("TooManyKeys", "keys names %d entities; at most %d can be read at once", n, maxOnlineKeys).At("keys")
	}
	return n, nil
}

// encodeKeys makes the online keys of the set. Columns that are no key of this set belong to another one.
func (w *wanted) encodeKeys(keys map[string][]json.RawMessage, n int) error {
	index := w.set.Schema.Index()
	columns := make([][]json.RawMessage, len(index))
	for i, column := range index {
		for given, values := range keys {
			if strings.EqualFold(given, column.Name) {
				columns[i] = values
			}
		}
		if columns[i] == nil {
			return resource.Invalidf("InvalidKeys", "keys has no %q, which is a key of the feature set %s", column.Name, w.set.Version.Parent().Name()).At("keys")
		}
	}
	values := make([]any, len(index))
	w.keys = make([][]byte, n)
	var buffer []byte // of all keys one after the other; when it moves, those before keep the old one
	for row := range n {
		for i, column := range index {
			value, err := keyValue(column, columns[i][row])
			if err != nil {
				return err
			}
			values[i] = value
		}
		at := len(buffer)
		var err error
		if buffer, err = w.set.Schema.AppendKey(buffer, values); err != nil {
			return err
		}
		w.keys[row] = buffer[at:len(buffer):len(buffer)]
	}
	return nil
}

// rowHeads writes the start of each result row: the opening brace and the keys as they were given.
type rowHeads struct {
	quoted [][]byte // the names of the key columns
	values [][]json.RawMessage
	bare   []bool // numbers and booleans lose the quotes that command lines put around them
}

func newRowHeads(schema *online.Schema, keys map[string][]json.RawMessage) (*rowHeads, error) {
	names := make([]string, 0, len(keys))
	for _, column := range schema.Index() { // the first set's keys in their order
		for given := range keys {
			if strings.EqualFold(given, column.Name) {
				names = append(names, given)
			}
		}
	}
	for given := range keys {
		if !containsFold(names, given) {
			names = append(names, given)
		}
	}
	slices.Sort(names[len(schema.Index()):])
	h := &rowHeads{bare: make([]bool, len(names))}
	for i, column := range schema.Index() {
		h.bare[i] = column.Type != online.String && column.Type != online.Datetime && column.Type != online.Binary
	}
	for _, name := range names {
		text, err := json.Marshal(name)
		if err != nil {
			return nil, err
		}
		h.quoted, h.values = append(h.quoted, text), append(h.values, keys[name])
	}
	return h, nil
}

func (h *rowHeads) append(to []byte, row int) []byte {
	to = append(to, '{')
	for i, name := range h.quoted {
		if i > 0 {
			to = append(to, ',')
		}
		value := []byte(h.values[i][row])
		if h.bare[i] {
			value = bytes.Trim(value, `"`)
		}
		to = append(append(append(to, name...), ':'), value...)
	}
	return to
}

func containsFold(list []string, text string) bool {
	for _, have := range list {
		if strings.EqualFold(have, text) {
			return true
		}
	}
	return false
}

// appendRow adds the set's features to a result row; nil is an entity without a row.
func (w *wanted) appendRow(to, value []byte) ([]byte, error) {
	if value == nil {
		return w.appendNulls(to), nil
	}
	if w.plain {
		to = append(to, ',')
		at := len(to)
		to, err := w.set.Schema.AppendJSON(to, value, w.only)
		if err != nil {
			return nil, err
		}
		copy(to[at:], to[at+1:]) // without the opening brace
		return to[:len(to)-2], nil
	}
	text, err := w.set.Schema.AppendJSONArray(nil, value, w.only)
	if err != nil {
		return nil, err
	}
	var values []json.RawMessage
	if err := json.Unmarshal(text, &values); err != nil {
		return nil, err
	}
	for i, name := range w.names {
		quoted, err := json.Marshal(name)
		if err != nil {
			return nil, err
		}
		to = append(append(append(append(to, ','), quoted...), ':'), values[i]...)
	}
	return to, nil
}

func (w *wanted) appendNulls(to []byte) []byte {
	for _, name := range w.names {
		quoted, _ := json.Marshal(name) // a string always can be
		to = append(append(append(to, ','), quoted...), ":null"...)
	}
	return to
}
