package arm

import (
	"encoding/json"
	"strings"

	"github.com/alvara-ml/alvara/resource"
)

func kindOf(body []byte) string {
	var sketch struct {
		Kind string `json:"kind"`
	}
	_ = json.Unmarshal(body, &sketch) // a malformed body is refused later, by its reader
	return sketch.Kind
}

// read makes a resource of a body. Fields that only the service sets are ignored, as clients send back what they got.
func (d *definition[P]) read(id resource.ID, body map[string]any) (*Resource[P], error) {
	next := &Resource[P]{ID: id, Name: id.Name(), Type: d.Type}
	for name, value := range body {
		var err error
		switch strings.ToLower(name) {
		case "location":
			err = decodeInto("location", value, &next.Location, false)
			next.Location = strings.ToLower(strings.ReplaceAll(next.Location, " ", ""))
		case "kind":
			err = decodeInto("kind", value, &next.Kind, false)
		case "tags":
			err = decodeInto("tags", value, &next.Tags, false)
		case "sku":
			next.SKU, err = json.Marshal(value)
		case "identity":
			if !d.Identities {
				if value == nil {
					continue
				}
				return nil, resource.Invalidf("InvalidRequestContent", "%s carries no identity; leave the field out", d.Type).At("identity")
			}
			next.Identity, err = readIdentity(value)
		case "properties":
			if value == nil {
				continue
			}
			if object, ok := value.(map[string]any); ok && d.Strict {
				delete(object, "provisioningState")
				delete(object, "provisioningError")
			}
			err = decodeInto("properties", value, &next.Properties, d.Strict)
		case "name":
			var given string
			if err = decodeInto("name", value, &given, false); err == nil && given != "" && !strings.EqualFold(given, id.Name()) && !strings.HasSuffix(strings.ToLower(given), strings.ToLower(id.Name())) {
				err = resource.Invalidf("InvalidRequestContent", "name is %q and the path says %q; leave it out or make them agree", given, id.Name()).At("name")
			}
		case "id", "type", "etag", "systemdata", "managedby", "zones", "plan", "extendedlocation":
		default:
			if d.Strict {
				err = resource.Invalidf("InvalidRequestContent", "a resource has no field %q; known are location, kind, tags, sku, identity and properties", name).At(name)
			}
		}
		if err != nil {
			return nil, err
		}
	}
	return next, nil
}
