package blob

import "github.com/alvara-ml/alvara/access/condition"

// attributes is what conditions on role assignments may ask about one need: the account, the container, and the path that
// is read or written or, for a listing, the prefix that it is confined to.
func attributes(on target, account string, container Container, path string) condition.Attributes {
	told := condition.Attributes{{Attribute: condition.AccountName, Text: account}}
	if on == onAccount {
		return told
	}
	told = append(told, condition.Value{Attribute: condition.ContainerName, Text: container.Name})
	switch on {
	case onContainer:
	case onPrefix:
		told = append(told, condition.Value{Attribute: condition.BlobPrefix, Text: path}, condition.Value{Attribute: condition.SubOperation, Text: "Blob.List"})
	default:
		told = append(told, condition.Value{Attribute: condition.BlobPath, Text: path})
	}
	return told
}
