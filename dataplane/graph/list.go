package graph

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/alvara-ml/alvara/identity"
	"github.com/alvara-ml/alvara/resource"
)

const (
	defaultPage = 100
	largestPage = 999
)

// entity is a kind of object that can be listed: how a filter sees it, and how the wire shows it.
type entity[T any] struct {
	properties map[string]kind
	value      func(d *identity.Directory, object *T, property string) any // as predicate has it
	id         func(*T) string
	view       func(d *identity.Directory, object *T) view
}

// view is an object as the wire shows it.
type view interface{ marks() *annotations }

// annotations are what OData adds to an object.
type annotations struct {
	Context string `json:"@odata.context,omitempty"`
	Type    string `json:"@odata.type,omitempty"`
}

func (a *annotations) marks() *annotations { return a }

type collection struct {
	Context string `json:"@odata.context"`
	Count   *int   `json:"@odata.count,omitempty"`
	Next    string `json:"@odata.nextLink,omitempty"`
	Value   []any  `json:"value"`
}

// page is what the query says about a list.
type page struct {
	size    int
	after   string // the id of the last object of the page before
	filter  string
	columns []string
	count   bool
}

// options reads the query's system options; those that a request cannot have are refused, because leaving them aside
// would give a wrong answer.
func (q *request) options() (page, error) {
	p := page{size: defaultPage}
	for name, values := range q.query {
		if !strings.HasPrefix(name, "$") {
			continue
		}
		value := values[0]
		switch strings.ToLower(name) {
		case "$filter":
			p.filter = value
		case "$top":
			n, err := strconv.Atoi(value)
			if err != nil || n < 1 {
				return p, resource.Invalidf(badRequest, "Invalid page size specified: '%s'. Must be between 1 and %d inclusive.", value, largestPage).At(name)
			}
			p.size = min(n, largestPage)
		case "$select":
			for _, column := range strings.Split(value, ",") {
				p.columns = append(p.columns, strings.TrimSpace(column))
			}
		case "$count":
			p.count = strings.EqualFold(value, "true")
		case "$skiptoken":
			after, err := base64.RawURLEncoding.DecodeString(value)
			if err != nil || len(after) == 0 {
				return p, resource.Invalidf(badRequest, "$skiptoken is not one that this service gave; start the list anew.").At(name)
			}
			p.after = string(after)
		default:
			return p, resource.Invalidf(badRequest, "The query option '%s' is not offered; understood are $filter, $top, $select, $count and $skiptoken.", name).At(name)
		}
	}
	return p, nil
}

// listed answers with a page of objects, which all gives in the order of their ids. Of a filter that asks for one value of
// one property, find may answer from an index; a nil find, or ok false, has all objects looked through.
func listed[T any](s *Server, q *request, e *entity[T], context string, mixed bool, all func() []T, find func(property, value string) (objects []T, ok bool)) (answer, error) {
	p, err := q.options()
	if err != nil {
		return answer{}, err
	}
	var objects []T
	matches := func(*T) bool { return true }
	indexed := false
	if p.filter != "" {
		f, err := parseFilter(p.filter, e.properties)
		if err != nil {
			return answer{}, err
		}
		matches = func(object *T) bool {
			return f.matches(func(property string) any { return e.value(s.Directory, object, property) })
		}
		if find != nil && f.property != "" {
			objects, indexed = find(f.property, f.equals)
		}
	}
	if !indexed {
		objects = all()
	}
	out := collection{Context: q.base() + "/$metadata#" + context, Value: []any{}}
	total, last := 0, ""
	for i := range objects {
		if !matches(&objects[i]) {
			continue
		}
		total++
		id := e.id(&objects[i])
		if id <= p.after {
			continue
		}
		if len(out.Value) == p.size {
			if out.Next == "" {
				out.Next = q.next(last)
			}
			if !p.count {
				break
			}
			continue
		}
		v := e.view(s.Directory, &objects[i])
		if !mixed {
			v.marks().Type = ""
		}
		shown, err := selected(v, p.columns)
		if err != nil {
			return answer{}, err
		}
		out.Value, last = append(out.Value, shown), id
	}
	if p.count {
		out.Count = &total
	}
	return answer{body: out}, nil
}

// next is the address of the page after the object of that id.
func (q *request) next(id string) string {
	query := url.Values{}
	for name, values := range q.query {
		if !strings.EqualFold(name, "$skiptoken") {
			query[name] = values
		}
	}
	query.Set("$skiptoken", base64.RawURLEncoding.EncodeToString([]byte(id)))
	return "https://" + q.http.Host + q.http.URL.EscapedPath() + "?" + query.Encode()
}

// single answers with one object.
func (q *request) single(v view, context string, mixed bool) (answer, error) {
	p, err := q.options()
	if err != nil {
		return answer{}, err
	}
	a := v.marks()
	a.Context = q.base() + "/$metadata#" + context + "/$entity"
	if !mixed {
		a.Type = ""
	}
	body, err := selected(v, p.columns)
	return answer{body: body}, err
}

// created answers with an object that was just made.
func (q *request) created(v view, collection, id string) (answer, error) {
	a := v.marks()
	a.Context, a.Type = q.base()+"/$metadata#"+collection+"/$entity", ""
	return answer{status: http.StatusCreated, body: v, location: q.base() + "/" + collection + "/" + id}, nil
}

// selected leaves the columns that were asked for, and annotations. Columns that the object does not have are left aside:
// Graph has many more than this directory.
func selected(v view, columns []string) (any, error) {
	if len(columns) == 0 || slices.Contains(columns, "*") {
		return v, nil
	}
	text, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	var all map[string]json.RawMessage
	if err := json.Unmarshal(text, &all); err != nil {
		return nil, err
	}
	for name := range all {
		if !strings.HasPrefix(name, "@odata.") && !slices.ContainsFunc(columns, func(column string) bool { return strings.EqualFold(column, name) }) {
			delete(all, name)
		}
	}
	return all, nil
}
