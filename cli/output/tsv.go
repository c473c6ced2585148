package output

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"github.com/alvara-ml/alvara/cli/document"
)

// tsv writes one line per element of a list, the values of an element separated by tabs. Scalars stand without quotes,
// so that a shell variable can take them. Nested lists show their length and nested objects an empty field, as az does.
func tsv(value any) []byte {
	var b bytes.Buffer
	switch v := value.(type) {
	case nil:
	case []any:
		for _, element := range v {
			tsvRow(&b, element)
		}
	default:
		tsvRow(&b, v)
	}
	return b.Bytes()
}

func tsvRow(b *bytes.Buffer, value any) {
	switch v := value.(type) {
	case *document.Object:
		for i, key := range v.Keys() {
			if i > 0 {
				b.WriteByte('\t')
			}
			b.WriteString(tsvField(v.Get(key)))
		}
	case []any:
		for i, element := range v {
			if i > 0 {
				b.WriteByte('\t')
			}
			b.WriteString(tsvField(element))
		}
	default:
		b.WriteString(tsvField(v))
	}
	b.WriteByte('\n')
}

func tsvField(value any) string {
	switch v := value.(type) {
	case nil:
		return ""
	case []any:
		return strconv.Itoa(len(v))
	case *document.Object:
		return ""
	default:
		return scalar(v)
	}
}

func scalar(value any) string {
	switch v := value.(type) {
	case nil:
		return ""
	case string:
		return v
	case json.Number:
		return v.String()
	case float64:
		text := strconv.FormatFloat(v, 'g', -1, 64)
		if !strings.ContainsAny(text, ".eEnN") {
			text += ".0"
		}
		return text
	default:
		return fmt.Sprint(v)
	}
}
