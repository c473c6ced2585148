package machinelearning

import (
	"encoding/json"

	"github.com/alvara-ml/alvara/resource"
)

// texts are names with a text each. Clients that send a number or a boolean mean its text: azure-ai-ml writes the version of a hash as a
// number.
type texts map[string]string

// UnmarshalJSON reads an object whose values are texts, numbers or booleans.
func (t *texts) UnmarshalJSON(body []byte) error {
	var given map[string]json.RawMessage
	if err := json.Unmarshal(body, &given); err != nil {
		return err
	}
	if given == nil {
		*t = nil
		return nil
	}
	out := make(texts, len(given))
	for name, value := range given {
		var text string
		switch value[0] {
		case '"':
			if err := json.Unmarshal(value, &text); err != nil {
				return err
			}
		case '{', '[', 'n':
			field := "properties.properties." + name
			return resource.Invalidf("InvalidRequestContent", "%s is %s; a string was expected", field, value).At(field)
		default:
			text = string(value)
		}
		out[name] = text
	}
	*t = out
	return nil
}
