package condition

import "strings"

// Attribute is one thing that a condition may ask about and that a plane tells. There are no others: a condition that
// names one that nobody tells would never hold, so it is refused when it is written.
type Attribute uint8

// The attributes, and who tells them.
const (
	// RepositoryName is @Request[Microsoft.ContainerRegistry/registries/repositories:name], such as team/app. The registry
	// tells it with every action on a repository.
	RepositoryName Attribute = iota + 1
	// AccountName is @Resource[Microsoft.Storage/storageAccounts:name]. The blob plane tells it always.
	AccountName
	// ContainerName is @Resource[Microsoft.Storage/storageAccounts/blobServices/containers:name]. The blob plane tells it
	// with every action in a container.
	ContainerName
	// BlobPath is @Resource[Microsoft.Storage/storageAccounts/blobServices/containers/blobs:path], without the container and
	// without a leading slash. The blob plane tells it with every action on a blob, file or directory, written or read.
	BlobPath
	// BlobPrefix is @Request[Microsoft.Storage/storageAccounts/blobServices/containers/blobs:prefix], what a listing is
	// confined to. The blob plane tells it with listings, "" for all.
	BlobPrefix
	// SubOperation is @Request[subOperation], such as Blob.List. An action without one has none, and a comparison with it
	// is then false, not missing.
	SubOperation
	// UTCNow is @Environment[UtcNow]. It is Input.Now, never among the Attributes.
	UTCNow
	attributeEnd
)

// Value is an attribute with one value. An attribute with several values is several Values.
type Value struct {
	Attribute Attribute
	Text      string
}

// Attributes is what a plane tells about one request.
type Attributes []Value

type kind uint8

const (
	textKind kind = iota
	timeKind
)

// known is an attribute as conditions write it.
type known struct {
	source string // Request, Resource or Environment
	name   string
	kind   kind
}

var attributes = [attributeEnd]known{
	RepositoryName: {source: "Request", name: "Microsoft.ContainerRegistry/registries/repositories:name"},
	AccountName:    {source: "Resource", name: "Microsoft.Storage/storageAccounts:name"},
	ContainerName:  {source: "Resource", name: "Microsoft.Storage/storageAccounts/blobServices/containers:name"},
	BlobPath:       {source: "Resource", name: "Microsoft.Storage/storageAccounts/blobServices/containers/blobs:path"},
	BlobPrefix:     {source: "Request", name: "Microsoft.Storage/storageAccounts/blobServices/containers/blobs:prefix"},
	SubOperation:   {source: "Request", name: "subOperation"},
	UTCNow:         {source: "Environment", name: "UtcNow", kind: timeKind},
}

// String is the attribute as conditions write it, such as @Environment[UtcNow].
func (a Attribute) String() string {
	if a == 0 || a >= attributeEnd {
		return "@?"
	}
	return "@" + attributes[a].source + "[" + attributes[a].name + "]"
}

// attributeNamed finds an attribute by its source and name, in any case; 0 when nobody tells it.
func attributeNamed(source, name string) Attribute {
	for a := RepositoryName; a < attributeEnd; a++ {
		if strings.EqualFold(attributes[a].source, source) && strings.EqualFold(attributes[a].name, name) {
			return a
		}
	}
	return 0
}
