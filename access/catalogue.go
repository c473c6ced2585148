package access

import (
	_ "embed" // the catalogue is a file beside the code
	"encoding/json"
	"strings"

	"github.com/alvara-ml/alvara/access/wildcard"
)

// Operation is one thing that a plane can be asked to do.
type Operation struct {
	Name        string // such as Microsoft.Storage/storageAccounts/read
	Data        bool   // a data action, as opposed to a control-plane action
	Description string // one short phrase, such as "Read storage accounts"
}

// Provider is the namespace of the operation, such as Microsoft.Storage.
func (o Operation) Provider() string {
	provider, _, _ := strings.Cut(o.Name, "/")
	return provider
}

//go:embed operations.json
var operationsFile []byte

// Catalogue gives the operations of all namespaces that the product knows, in the order of the namespaces. It reads
// them anew each time; the caller may change what it gets.
func Catalogue() []Operation {
	var types []struct {
		Type        string   `json:"type"`
		Label       string   `json:"label"`
		Actions     []string `json:"actions"`
		DataActions []string `json:"dataActions"`
	}
	if err := json.Unmarshal(operationsFile, &types); err != nil {
		panic("access: the embedded operations.json is malformed: " + err.Error())
	}
	var operations []Operation
	for _, t := range types {
		for _, verb := range t.Actions {
			operations = append(operations, Operation{Name: t.Type + "/" + verb, Description: describe(verb, t.Label)})
		}
		for _, verb := range t.DataActions {
			operations = append(operations, Operation{Name: t.Type + "/" + verb, Data: true, Description: describe(verb, t.Label)})
		}
	}
	return operations
}

func describe(verb, label string) string {
	switch verb {
	case "read":
		return "Read " + label
	case "write":
		return "Create or change " + label
	case "delete":
		return "Delete " + label
	case "action":
		return "Act on " + label
	}
	return "Perform " + strings.TrimSuffix(verb, "/action") + " on " + label
}

// catalogue numbers the operations and finds them by name in any case.
type catalogue struct {
	operations []Operation
	lower      []string // the names in lower case, by number
	control    map[string]int32
	data       map[string]int32
}

func newCatalogue(operations []Operation) *catalogue {
	c := &catalogue{control: map[string]int32{}, data: map[string]int32{}}
	for _, operation := range operations {
		lower := wildcard.Lower(operation.Name)
		plane := c.plane(operation.Data)
		if _, exists := plane[lower]; exists || !wellFormed(operation.Name) {
			continue
		}
		number := int32(len(c.operations))
		c.operations = append(c.operations, operation)
		c.lower = append(c.lower, lower)
		// The two spellings that nearly every request uses are found without folding.
		plane[lower], plane[operation.Name] = number, number
	}
	return c
}

func (c *catalogue) plane(data bool) map[string]int32 {
	if data {
		return c.data
	}
	return c.control
}

const maxFolded = 256 // bytes; longer action names are folded on the heap

// number finds an operation without allocating.
func (c *catalogue) number(action string, data bool) (int32, bool) {
	plane := c.plane(data)
	if n, ok := plane[action]; ok {
		return n, true
	}
	if len(action) > maxFolded {
		n, ok := plane[wildcard.Lower(action)]
		return n, ok
	}
	var buffer [maxFolded]byte
	n, ok := plane[string(wildcard.AppendLower(buffer[:0], action))]
	return n, ok
}

// wellFormed tells whether an action can be asked for at all: a provider namespace, which has a dot in it, then at least
// one segment, none of them empty, and no wildcard.
func wellFormed(action string) bool {
	provider, rest, scoped := strings.Cut(action, "/")
	return scoped && strings.Contains(provider, ".") && !strings.Contains(action, "*") &&
		rest != "" && !strings.HasPrefix(rest, "/") && !strings.HasSuffix(rest, "/") && !strings.Contains(rest, "//")
}
