package features

import (
	"encoding/base64"
	"encoding/json"
	"strconv"

	"github.com/alvara-ml/alvara/featurestore/online"
	"github.com/alvara-ml/alvara/featurestore/spec"
	"github.com/alvara-ml/alvara/resource"
)

// keyValue reads a key's value, which may be JSON of its own type or text, as command lines send it.
func keyValue(column online.Column, given json.RawMessage) (any, error) {
	text := string(given)
	if len(given) > 0 && given[0] == '"' {
		if err := json.Unmarshal(given, &text); err != nil {
			return nil, badKey(column, given)
		}
	} else if column.Type == online.String {
		return nil, badKey(column, given)
	}
	var value any
	var err error
	switch column.Type {
	case online.String:
		return text, nil
	case online.Integer:
		var n int64
		n, err = strconv.ParseInt(text, 10, 32)
		value = int32(n)
	case online.Long:
		value, err = strconv.ParseInt(text, 10, 64)
	case online.Float:
		var f float64
		f, err = strconv.ParseFloat(text, 32)
		value = float32(f)
	case online.Double:
		value, err = strconv.ParseFloat(text, 64)
	case online.Boolean:
		value, err = strconv.ParseBool(text)
	case online.Binary:
		value, err = base64.StdEncoding.DecodeString(text)
	case online.Datetime:
		value, err = spec.ParseTime(text)
	}
	if err != nil {
		return nil, badKey(column, given)
	}
	return value, nil
}

func badKey(column online.Column, given json.RawMessage) error {
	return resource.Invalidf("InvalidKeys", "keys.%s has %s; a %s was expected", column.Name, given, column.Type).At("keys." + column.Name)
}
