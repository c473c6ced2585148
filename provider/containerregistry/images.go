package containerregistry

import (
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/alvara-ml/alvara/resource"
)

var (
	repositoryName = regexp.MustCompile(`^[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*$`)
	tagName        = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$`)
	hostName       = regexp.MustCompile(`^(?:[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?|\[[0-9a-f:]+\])(?::[0-9]{1,5})?$`)
	template       = regexp.MustCompile(`\{\{\s*([^{}]*?)\s*\}\}`)
)

const maxRepositoryName = 255

// reference is a name of an image: host/repository:tag.
type reference struct{ host, repository, tag string }

func (r reference) String() string { return r.host + "/" + r.repository + ":" + r.tag }

// readReference reads the name of an image as requests give it: without a host it is in the registry of the request, and
// without a tag it gets the tag latest.
func readReference(text, loginServer string) (reference, error) {
	invalid := func(format string, args ...any) (reference, error) {
		return reference{}, resource.Invalidf("InvalidImageName", "imageNames has %q: %s", text, fmt.Sprintf(format, args...)).At("imageNames")
	}
	ref := reference{host: loginServer, tag: "latest"}
	rest := text
	if first, after, found := strings.Cut(text, "/"); found && isHost(first) {
		ref.host, rest = strings.ToLower(first), after
		if !hostName.MatchString(ref.host) {
			return invalid("%q is no host of a registry; host or host:port was expected", first)
		}
	}
	if strings.Contains(rest, "@") {
		return invalid("an image is pushed under a tag, and a digest follows from its content; name it repository:tag")
	}
	name, tag, tagged := strings.Cut(rest, ":")
	if ref.repository = name; tagged {
		ref.tag = tag
	}
	if !repositoryName.MatchString(ref.repository) || len(ref.repository) > maxRepositoryName {
		return invalid("the repository %q is not made of lower-case letters and digits with single '.', '_', '-' or '/' between them, at most %d in all", ref.repository, maxRepositoryName)
	}
	if !tagName.MatchString(ref.tag) {
		return invalid("the tag %q is not made of at most 128 letters, digits, '_', '.' or '-', beginning with a letter, a digit or '_'", ref.tag)
	}
	return ref, nil
}

// isHost tells a registry's host from the first part of a repository's name, as docker does.
func isHost(part string) bool {
	return strings.ContainsAny(part, ".:") || strings.EqualFold(part, "localhost")
}

// facts are what an image's name may ask for in the form {{.Run.ID}}.
type facts struct {
	run, registry, loginServer string
	now                        time.Time
	platform                   Platform
}

// expand fills the templates of an image's name in.
func (f facts) expand(text string) (string, error) {
	values := map[string]string{
		".run.id": f.run, ".run.registryname": f.registry, ".run.registry": f.loginServer, ".run.date": f.now.UTC().Format("20060102-150405z"),
		".run.os": strings.ToLower(f.platform.OS), ".run.architecture": f.platform.Architecture,
	}
	var fault error
	out := template.ReplaceAllStringFunc(text, func(found string) string {
		name := template.FindStringSubmatch(found)[1]
		value, known := values[strings.ToLower(name)]
		if !known {
			fault = resource.Errorf(resource.Unsupported, "NotSupported", "imageNames has %q: %s is not known here; {{.Run.ID}}, {{.Run.Date}}, {{.Run.Registry}}, {{.Run.RegistryName}}, {{.Run.OS}} and {{.Run.Architecture}} are", text, found).At("imageNames")
		}
		return value
	})
	return out, fault
}
