package spec

import (
	"regexp"
	"strings"

	"github.com/goccy/go-yaml/ast"

	"github.com/alvara-ml/alvara/resource"
)

var guidForm = regexp.MustCompile(`^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$`)

// guid reads a GUID and gives it in lower case.
func (v value) guid() string {
	text := v.text()
	if isText(v) && !guidForm.MatchString(text) {
		v.fault("%s is %q; a GUID was expected", v.path, short(text))
	}
	return strings.ToLower(text)
}

// resourceID reads the id of a resource of a type.
func (v value) resourceID(t resource.Type) resource.ID {
	text := v.text()
	if !isText(v) {
		return resource.Root
	}
	id, err := typedID(text, t)
	if err != nil {
		v.fault("%s: %s", v.path, message(err))
	}
	return id
}

func typedID(text string, t resource.Type) (resource.ID, error) {
	id, err := resource.ParseID(text)
	if err != nil {
		return resource.Root, invalid("%s; expected the id of a resource of type %s", err.(*resource.Error).Message, t)
	}
	if !id.Type().Is(t) {
		return resource.Root, invalid("%q is not the id of a resource of type %s", short(text), t)
	}
	return id, nil
}

// oneOf reads a word in any case and gives its canonical spelling.
func (v value) oneOf(words ...string) string {
	text := v.text()
	for _, word := range words {
		if strings.EqualFold(text, word) {
			return word
		}
	}
	if isText(v) {
		v.fault("%s is %q; expected %s", v.path, short(text), strings.Join(words, ", "))
	}
	return ""
}

func (v value) assetName() string {
	name := v.text()
	if isText(v) {
		if err := CheckAssetName(name); err != nil {
			v.fault("%s: %s", v.path, message(err))
		}
	}
	return name
}

func (v value) version() string {
	version := v.text()
	if isText(v) {
		if err := CheckVersion(version); err != nil {
			v.fault("%s: %s", v.path, message(err))
		}
	}
	return version
}

func (v value) isMapping() bool {
	switch v.node.(type) {
	case *ast.MappingNode, *ast.MappingValueNode:
		return true
	}
	return false
}
