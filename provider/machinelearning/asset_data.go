package machinelearning

import (
	"slices"
	"strings"

	"github.com/alvara-ml/alvara/arm"
	"github.com/alvara-ml/alvara/resource"
)

// DataVersion is the properties of a version of data: a file, a folder, or a folder with a file MLTable that says how its
// table is read.
type DataVersion struct {
	AssetVersion
	DataType       string   `json:"dataType,omitempty"` // uri_file, uri_folder or mltable
	DataURI        string   `json:"dataUri,omitempty"`
	ReferencedURIs []string `json:"referencedUris,omitempty"` // of an mltable: what its file names
}

// The types of data.
const (
	uriFile   = "uri_file"
	uriFolder = "uri_folder"
	mltable   = "mltable"
)

// Data declares data and its versions.
func (d Deps) Data() []arm.Type {
	return assetKind[DataVersion, *DataVersion]{container: dataType, version: dataVersionType}.types(d)
}

func (v *DataVersion) settle() error {
	kind, err := oneOf("properties.dataType", v.DataType, uriFolder, uriFile, uriFolder, mltable)
	if err != nil {
		return err
	}
	if v.DataType = kind; kind != mltable && len(v.ReferencedURIs) > 0 {
		return resource.Invalidf("InvalidAsset", "properties.referencedUris belongs to data of the type %s, and this is a %s; leave the field out", mltable, kind).At("properties.referencedUris")
	}
	return nil
}

func (v *DataVersion) uri() (field, text string) { return "properties.dataUri", v.DataURI }

func (v *DataVersion) fixed() []fixedField {
	return []fixedField{
		{"dataType", v.DataType != "", strings.ToLower(v.DataType)}, {"dataUri", v.DataURI != "", v.DataURI},
		{"referencedUris", v.ReferencedURIs != nil, strings.Join(v.ReferencedURIs, " ")},
	}
}

// oneOf reads a word of a closed list, in any case; usual is what nothing means.
func oneOf(field, text, usual string, known ...string) (string, error) {
	if text == "" {
		return usual, nil
	}
	at := slices.IndexFunc(known, func(word string) bool { return strings.EqualFold(word, text) })
	if at < 0 {
		return "", resource.Invalidf("InvalidAsset", "%s is %q; one of these was expected: %s", field, text, strings.Join(known, ", ")).At(field)
	}
	return known[at], nil
}
