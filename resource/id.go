// Package resource is the vocabulary that every other package speaks: resource ids, resource types and errors.
// It owns no policy, no storage and no wire format, and imports the standard library only.
package resource

import (
	"strings"
)

// ID is the identifier of a resource, or of a scope that contains resources:
//
//	/                                                                    the root
//	/subscriptions/{guid}                                                a subscription
//	/subscriptions/{guid}/resourceGroups/{name}                          a resource group
//	{scope}/providers/{namespace}/{type}/{name}[/{type}/{name}…]         a resource
//	{resource}/providers/{namespace}/{type}/{name}                       an extension resource, such as a role assignment
//
// Ids compare without regard to case; String keeps the case of the names and writes the well-known words in their
// canonical form. The zero ID is the root. An ID is immutable and may be copied and shared.
type ID struct {
	segments []string // canonical words, names as given; nil for the root
	text     string   // "" for the root
	key      string   // lower-case text
}

// Root is the scope that contains everything.
var Root = ID{}

const maxIDLength = 2048

// ParseID reads an id in any case, with or without a slash at its end. A malformed id gives an Error of kind Invalid
// that says which part is wrong.
func ParseID(text string) (ID, error) {
	if len(text) > maxIDLength {
		return ID{}, Invalidf("InvalidResourceId", "the id is %d characters long; at most %d are allowed", len(text), maxIDLength)
	}
	trimmed := strings.TrimSuffix(text, "/")
	if trimmed == "" && text == "/" {
		return Root, nil
	}
	if !strings.HasPrefix(trimmed, "/") {
		return ID{}, Invalidf("InvalidResourceId", "the id %q does not start with '/'", text)
	}
	parts := strings.Split(trimmed[1:], "/")
	for _, part := range parts {
		if part == "" {
			return ID{}, Invalidf("InvalidResourceId", "the id %q has an empty segment", text)
		}
		if part == "." || part == ".." {
			return ID{}, Invalidf("InvalidResourceId", "the id %q has a segment %q, which is not a name", text, part)
		}
		if strings.ContainsFunc(part, func(r rune) bool { return r < 0x20 || r == 0x7f || r == '\\' }) {
			return ID{}, Invalidf("InvalidResourceId", "the id %q has a control character or a backslash in a segment", text)
		}
	}
	segments, err := canonical(parts, text)
	if err != nil {
		return ID{}, err
	}
	return newID(segments), nil
}

// MustParseID is ParseID for ids that are written in the program; it panics on a malformed one.
func MustParseID(text string) ID {
	id, err := ParseID(text)
	if err != nil {
		panic(err)
	}
	return id
}

func canonical(parts []string, text string) ([]string, error) {
	out := make([]string, 0, len(parts))
	i := 0
	if strings.EqualFold(parts[0], "subscriptions") {
		if len(parts) < 2 {
			return nil, Invalidf("InvalidResourceId", "the id %q names no subscription after /subscriptions/", text)
		}
		out, i = append(out, "subscriptions", strings.ToLower(parts[1])), 2
		if i < len(parts) && strings.EqualFold(parts[i], "resourcegroups") {
			if i+1 >= len(parts) {
				return nil, Invalidf("InvalidResourceId", "the id %q names no group after /resourceGroups/", text)
			}
			out, i = append(out, "resourceGroups", parts[i+1]), i+2
		}
	}
	for i < len(parts) {
		if !strings.EqualFold(parts[i], "providers") {
			return nil, Invalidf("InvalidResourceId", "the id %q has %q where /providers/ was expected", text, parts[i])
		}
		if i+1 >= len(parts) {
			return nil, Invalidf("InvalidResourceId", "the id %q names no namespace after /providers/", text)
		}
		out, i = append(out, "providers", parts[i+1]), i+2
		if i+1 >= len(parts) {
			return nil, Invalidf("InvalidResourceId", "the id %q must name a type and a name after /providers/%s/", text, parts[i-1])
		}
		for i < len(parts) && !strings.EqualFold(parts[i], "providers") {
			if i+1 >= len(parts) {
				return nil, Invalidf("InvalidResourceId", "the id %q has a type %q without a name", text, parts[i])
			}
			if end := repositoryEnd(out, parts, i); end > i {
				out, i = append(out, parts[i], strings.Join(parts[i+1:end], ":")), end
				continue
			}
			out, i = append(out, parts[i], parts[i+1]), i+2
		}
	}
	return out, nil
}

// repositoryEnd tells whether parts[at:] names a repository of the container registry before it, and where the name ends. A
// repository such as team/app is one name, which ids write as team:app; the natural spelling is accepted.
func repositoryEnd(before, parts []string, at int) int {
	n := len(before)
	if n < 4 || !strings.EqualFold(parts[at], "repositories") || !strings.EqualFold(before[n-2], "registries") ||
		!strings.EqualFold(before[n-3], "Microsoft.ContainerRegistry") {
		return at
	}
	end := at + 2
	for end < len(parts) && !(strings.EqualFold(parts[end], "providers") && end+1 < len(parts) && strings.Contains(parts[end+1], ".")) {
		end++
	}
	return end
}

func newID(segments []string) ID {
	if len(segments) == 0 {
		return Root
	}
	text := "/" + strings.Join(segments, "/")
	return ID{segments: segments, text: text, key: strings.ToLower(text)}
}

// String gives the canonical form; the root is "/".
func (id ID) String() string {
	if id.text == "" {
		return "/"
	}
	return id.text
}

// Key is the lower-case form, equal for equal ids: use it as a map or database key. The root's key is "/".
func (id ID) Key() string {
	if id.key == "" {
		return "/"
	}
	return id.key
}

// IsRoot tells whether the id is the root scope.
func (id ID) IsRoot() bool { return len(id.segments) == 0 }

// Equal compares without regard to case.
func (id ID) Equal(other ID) bool { return id.key == other.key }

// Contains tells whether other is id itself or lies below it. Whole segments are compared: rg1 does not contain rg10.
func (id ID) Contains(other ID) bool {
	if id.key == "" {
		return true
	}
	if !strings.HasPrefix(other.key, id.key) {
		return false
	}
	return len(other.key) == len(id.key) || other.key[len(id.key)] == '/'
}

// Name is the last segment: the name of the resource, group or subscription. The root has none.
func (id ID) Name() string {
	if id.IsRoot() {
		return ""
	}
	return id.segments[len(id.segments)-1]
}

// Type is the resource's full type, such as Microsoft.Storage/storageAccounts/blobServices/containers. Subscriptions and
// resource groups have the types of namespace Microsoft.Resources; the root has the empty type.
func (id ID) Type() Type {
	at := id.lastProviders()
	if at < 0 {
		switch len(id.segments) {
		case 2:
			return TypeSubscription
		case 4:
			return TypeResourceGroup
		}
		return ""
	}
	var b strings.Builder
	b.WriteString(id.segments[at+1])
	for i := at + 2; i < len(id.segments); i += 2 {
		b.WriteByte('/')
		b.WriteString(id.segments[i])
	}
	return Type(b.String())
}

// Parent is the scope directly above: the parent resource, the resource group, the subscription or the root.
func (id ID) Parent() ID {
	at := id.lastProviders()
	n := len(id.segments)
	switch {
	case n == 0:
		return Root
	case at >= 0 && n-at > 4:
		return newID(id.segments[:n-2])
	case at >= 0:
		return newID(id.segments[:at])
	default:
		return newID(id.segments[:n-2])
	}
}

// Subscription is the guid in /subscriptions/{guid}/…, or "".
func (id ID) Subscription() string {
	if len(id.segments) >= 2 && id.segments[0] == "subscriptions" {
		return id.segments[1]
	}
	return ""
}

// ResourceGroup is the group's name, or "".
func (id ID) ResourceGroup() string {
	if len(id.segments) >= 4 && id.segments[2] == "resourceGroups" {
		return id.segments[3]
	}
	return ""
}

// GroupID is the id of the resource group that holds the resource; the root when there is none.
func (id ID) GroupID() ID {
	if id.ResourceGroup() == "" {
		return Root
	}
	return newID(id.segments[:4])
}

// Child is the id of a child resource. A path such as "blobServices/default/containers" reaches several levels down.
// On a scope that is no resource, childType must be a full type such as "Microsoft.Storage/storageAccounts".
func (id ID) Child(childType, name string) ID {
	segments := append([]string{}, id.segments...)
	if id.lastProviders() < 0 {
		return newID(append(append(append(segments, "providers"), strings.Split(childType, "/")...), name))
	}
	return newID(append(append(segments, strings.Split(childType, "/")...), name))
}

// Extension is the id of an extension resource on id, such as a role assignment. fullType holds its namespace.
func (id ID) Extension(fullType, name string) ID {
	segments := append(append([]string{}, id.segments...), "providers")
	return newID(append(append(segments, strings.Split(fullType, "/")...), name))
}

// ExtensionOf splits an extension resource's id into the scope that it sits on and reports whether there is one: for
// {resource}/providers/{namespace}/{type}/{name} it is {resource}.
func (id ID) ExtensionOf() (ID, bool) {
	at := id.lastProviders()
	if at < 0 {
		return Root, false
	}
	return newID(id.segments[:at]), true
}

// Segments gives the canonical segments; the caller must not change them.
func (id ID) Segments() []string { return id.segments }

func (id ID) lastProviders() int {
	for i := len(id.segments) - 1; i >= 0; i-- {
		// Names stand at odd distance from a "providers" word, so a resource called "providers" must not be taken for it.
		if id.segments[i] == "providers" && id.isProvidersWord(i) {
			return i
		}
	}
	return -1
}

func (id ID) isProvidersWord(at int) bool {
	i := 0
	if len(id.segments) > 0 && id.segments[0] == "subscriptions" {
		i = 2
		if len(id.segments) > 2 && id.segments[2] == "resourceGroups" {
			i = 4
		}
	}
	for i < len(id.segments) {
		if i == at {
			return true
		}
		i += 2 // providers, namespace
		for i < len(id.segments) && id.segments[i] != "providers" {
			i += 2
		}
	}
	return false
}

// MarshalText writes the canonical form.
func (id ID) MarshalText() ([]byte, error) { return []byte(id.String()), nil }

// UnmarshalText reads an id in any case.
func (id *ID) UnmarshalText(text []byte) error {
	parsed, err := ParseID(string(text))
	if err != nil {
		return err
	}
	*id = parsed
	return nil
}

// Type is a full resource type such as "Microsoft.Storage/storageAccounts". Compare types with Is.
type Type string

// The types of the scopes that have no provider segment of their own.
const (
	TypeSubscription  Type = "Microsoft.Resources/subscriptions"
	TypeResourceGroup Type = "Microsoft.Resources/subscriptions/resourceGroups"
)

// Is compares without regard to case.
func (t Type) Is(other Type) bool { return strings.EqualFold(string(t), string(other)) }

// Key is the lower-case form.
func (t Type) Key() string { return strings.ToLower(string(t)) }

// Namespace is the part before the first slash.
func (t Type) Namespace() string {
	namespace, _, _ := strings.Cut(string(t), "/")
	return namespace
}
