package machinelearning

import "github.com/alvara-ml/alvara/arm"

// CodeVersion is the properties of a version of code: a folder that jobs and deployments run in.
type CodeVersion struct {
	AssetVersion
	CodeURI string `json:"codeUri,omitempty"`
}

// Codes declares codes and their versions.
func (d Deps) Codes() []arm.Type {
	return assetKind[CodeVersion, *CodeVersion]{container: codeType, version: codeVersionType}.types(d)
}

func (c *CodeVersion) settle() error { return nil }

func (c *CodeVersion) uri() (field, text string) { return "properties.codeUri", c.CodeURI }

func (c *CodeVersion) fixed() []fixedField {
	return []fixedField{{"codeUri", c.CodeURI != "", c.CodeURI}}
}
