package output

import (
	"encoding/json"
	"fmt"
	"math"
	"reflect"
	"regexp"
	"slices"
	"sort"
	"strings"

	"github.com/jmespath/go-jmespath"

	"github.com/alvara-ml/alvara/cli/document"
)

// Search evaluates a JMESPath expression. Objects of the input keep their order of keys; objects that the expression
// makes (`{name: a, size: b}`) have the order in which it names the keys.
func Search(expression string, value any) (any, error) {
	compiled, err := jmespath.Compile(quoteLiterals(expression))
	if err != nil {
		return nil, &QueryError{Expression: expression, Cause: err}
	}
	plain := plainer{orders: map[uintptr][]string{}}
	found, err := compiled.Search(plain.strip(value))
	if err != nil {
		return nil, &QueryError{Expression: expression, Cause: err}
	}
	plain.named = namedKeys(expression)
	return plain.restore(found), nil
}

// quoteLiterals lets `User` stand for `"User"`, as az's JMESPath does: a literal that is no JSON is a string.
func quoteLiterals(expression string) string {
	var b strings.Builder
	for rest := expression; rest != ""; {
		at := strings.IndexAny(rest, "'\"`")
		if at < 0 {
			b.WriteString(rest)
			break
		}
		quote := rest[at]
		end := at + 1
		for end < len(rest) && rest[end] != quote {
			if rest[end] == '\\' {
				end++
			}
			end++
		}
		if end >= len(rest) { // unbalanced: the parser says so
			b.WriteString(rest)
			break
		}
		b.WriteString(rest[:at])
		literal := rest[at+1 : end]
		if quote == '`' && !json.Valid([]byte(strings.ReplaceAll(literal, "\\`", "`"))) {
			quoted, err := json.Marshal(literal)
			if err == nil {
				literal = string(quoted)
			}
		}
		b.WriteByte(quote)
		b.WriteString(literal)
		b.WriteByte(quote)
		rest = rest[end+1:]
	}
	return b.String()
}

// QueryError is a faulty --query.
type QueryError struct {
	Expression string
	Cause      error
}

func (e *QueryError) Error() string {
	text := fmt.Sprintf("the query %q cannot be evaluated: %v", e.Expression, e.Cause)
	if syntax, ok := e.Cause.(jmespath.SyntaxError); ok {
		text += "\n" + syntax.HighlightLocation()
	}
	return text
}

// Unwrap gives the cause.
func (e *QueryError) Unwrap() error { return e.Cause }

// The JMESPath library works on Go maps, which have no order; plainer remembers each map's.
type plainer struct {
	orders map[uintptr][]string
	kept   []map[string]any // keeps the addresses in orders unique
	named  []string
}

func (p *plainer) strip(value any) any {
	switch v := value.(type) {
	case *document.Object:
		if v == nil {
			return nil
		}
		out := make(map[string]any, v.Len())
		for _, key := range v.Keys() {
			out[key] = p.strip(v.Get(key))
		}
		p.orders[reflect.ValueOf(out).Pointer()] = v.Keys()
		p.kept = append(p.kept, out)
		return out
	case []any:
		out := make([]any, len(v))
		for i, element := range v {
			out[i] = p.strip(element)
		}
		return out
	case json.Number:
		// Comparisons in JMESPath need float64; an integer that it cannot hold exactly stays as it is.
		if f, err := v.Float64(); err == nil && math.Abs(f) < 1<<53 {
			return f
		}
		return v
	case int:
		return float64(v)
	case int32:
		return float64(v)
	case int64:
		return float64(v)
	case uint64:
		return float64(v)
	default:
		return v
	}
}

func (p *plainer) restore(value any) any {
	switch v := value.(type) {
	case map[string]any:
		object := &document.Object{}
		for _, key := range p.order(v) {
			object.Set(key, p.restore(v[key]))
		}
		return object
	case []any:
		out := make([]any, len(v))
		for i, element := range v {
			out[i] = p.restore(element)
		}
		return out
	case []string:
		return document.Strings(v)
	case []map[string]any:
		out := make([]any, len(v))
		for i, element := range v {
			out[i] = p.restore(element)
		}
		return out
	case float64:
		if v == math.Trunc(v) && math.Abs(v) < 1<<53 {
			return int64(v)
		}
		return v
	default:
		return v
	}
}

func (p *plainer) order(m map[string]any) []string {
	if keys, ok := p.orders[reflect.ValueOf(m).Pointer()]; ok && len(keys) == len(m) {
		return keys
	}
	keys := make([]string, 0, len(m))
	for key := range m {
		keys = append(keys, key)
	}
	place := func(key string) int {
		if i := slices.Index(p.named, key); i >= 0 {
			return i
		}
		return len(p.named)
	}
	sort.Slice(keys, func(i, j int) bool {
		if a, b := place(keys[i]), place(keys[j]); a != b {
			return a < b
		}
		return keys[i] < keys[j]
	})
	return keys
}

var hashKey = regexp.MustCompile(`([A-Za-z_][A-Za-z0-9_]*|"(?:[^"\\]|\\.)*")\s*:`)

func namedKeys(expression string) []string {
	var keys []string
	for _, match := range hashKey.FindAllStringSubmatch(expression, -1) {
		key := match[1]
		if strings.HasPrefix(key, `"`) {
			var unquoted string
			if json.Unmarshal([]byte(key), &unquoted) == nil {
				key = unquoted
			}
		}
		keys = append(keys, key)
	}
	return keys
}
