package spec

import (
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/alvara-ml/alvara/resource"
)

const maxSourceLength = 2048

// Scheme tells how a source's place is written.
type Scheme string

// The schemes of source paths.
const (
	SchemeWASBS   Scheme = "wasbs"   // wasbs://container@account.blob.host/path
	SchemeABFSS   Scheme = "abfss"   // abfss://container@account.dfs.host/path
	SchemeHTTPS   Scheme = "https"   // https://account.blob.host/container/path, https://127.0.0.1:PORT/account/container/path
	SchemeAzureML Scheme = "azureml" // azureml://datastores/NAME/paths/path, azureml://subscriptions/…/datastores/NAME/paths/path
)

// Source is where a feature set's data is: a file, a folder or a pattern in a container.
type Source struct {
	Type   SourceType // "" from ParseSource
	URI    string     // the path as it was written
	Scheme Scheme

	// Account, Container and Endpoint are set for all schemes but azureml. Endpoint is the base URL of the account, without
	// a slash at its end: "https://account.blob.host" or "https://127.0.0.1:PORT/account".
	Account   string
	Container string
	Endpoint  string

	// Datastore is set for azureml only. Workspace is the datastore's workspace; the root when the path names none, which
	// means the feature store that the feature set belongs to.
	Datastore string
	Workspace resource.ID

	// Path is the blob name or pattern inside the container or the datastore, without slashes at its ends; "" is everything.
	Path string
}

const expectedSource = "expected wasbs://container@account.blob.host/path, abfss://container@account.dfs.host/path, " +
	"https://account.blob.host/container/path or azureml://datastores/name/paths/path"

const codeInvalidSource = "InvalidSource"

func badSource(format string, args ...any) error {
	return resource.Invalidf(codeInvalidSource, format, args...).At("path")
}

var (
	accountName   = regexp.MustCompile(`^[a-z0-9]{3,24}$`)
	containerName = regexp.MustCompile(`^(\$root|\$web|\$logs|[a-z0-9](-?[a-z0-9])*)$`)
	datastoreName = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_-]*$`)
	hostName      = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*$`)
)

// ParseSource reads a source path. Errors are of kind Invalid with code InvalidSource.
func ParseSource(text string) (Source, error) {
	if text == "" {
		return Source{}, badSource("the source path is empty; %s", expectedSource)
	}
	if len(text) > maxSourceLength || !utf8.ValidString(text) || hasControl(text) || strings.Contains(text, "\\") {
		return Source{}, badSource("the source path is longer than %d bytes, or has a backslash or characters that are no "+
			"text", maxSourceLength)
	}
	scheme, rest, found := strings.Cut(text, "://")
	if !found {
		return Source{}, badSource("the source path %q has no scheme; %s", text, expectedSource)
	}
	s := Source{URI: text, Scheme: Scheme(strings.ToLower(scheme))}
	if at := strings.IndexByte(rest, '?'); at >= 0 && strings.Contains(rest[at:], "=") {
		return Source{}, badSource("the source path has a query; leave it out: access comes from the role of the identity " +
			"that reads, never from a signature in the path")
	}
	switch s.Scheme {
	case SchemeWASBS, SchemeABFSS:
		return s.hadoop(rest)
	case SchemeHTTPS:
		return s.https(rest)
	case SchemeAzureML:
		return s.azureml(rest)
	case "wasb", "abfs", "http":
		return Source{}, badSource("the source path %q is not encrypted; write %ss://", text, s.Scheme)
	}
	return Source{}, badSource("the source path %q has the scheme %q; %s", text, scheme, expectedSource)
}

// hadoop reads container@host/path.
func (s Source) hadoop(rest string) (Source, error) {
	authority, path, _ := strings.Cut(rest, "/")
	container, host, found := strings.Cut(authority, "@")
	if !found {
		return Source{}, badSource("the source path %q names no container; expected %s://container@account…/path", s.URI, s.Scheme)
	}
	s.Container = container
	service := "blob"
	if s.Scheme == SchemeABFSS {
		service = "dfs"
	}
	path, err := s.host(host, path, service)
	if err != nil {
		return Source{}, err
	}
	return s.finish(path)
}

// https reads host/container/path and address:port/account/container/path.
func (s Source) https(rest string) (Source, error) {
	host, path, _ := strings.Cut(rest, "/")
	if strings.Contains(host, "@") {
		return Source{}, badSource("the source path has a user name or password; leave it out: access comes from the role of " +
			"the identity that reads")
	}
	path, err := s.host(host, path, "blob", "dfs")
	if err != nil {
		return Source{}, err
	}
	container, path, _ := strings.Cut(path, "/")
	s.Container = container
	decoded, err := url.PathUnescape(path)
	if err != nil {
		return Source{}, badSource("the source path %q has a malformed %%-escape", s.URI)
	}
	if decoded != path {
		if !utf8.ValidString(decoded) || hasControl(decoded) || strings.Contains(decoded, "\\") ||
			strings.Count(decoded, "/") != strings.Count(path, "/") {
			return Source{}, badSource("the source path %q has an escaped character that is not allowed in a name", s.URI)
		}
		decoded = unescapeLiteral(path)
	}
	return s.finish(decoded)
}

// unescapeLiteral decodes %-escapes; a wildcard that was escaped stays literal.
func unescapeLiteral(path string) string {
	var b strings.Builder
	for i := 0; i < len(path); i++ {
		if path[i] != '%' {
			b.WriteByte(path[i])
			continue
		}
		code, _ := strconv.ParseUint(path[i+1:i+3], 16, 8)
		i += 2
		if c := byte(code); strings.IndexByte("*?[{}", c) >= 0 {
			b.WriteString("[" + string(rune(c)) + "]")
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}

// host reads the account from account.service.host[:port], or from the first segment of the path where the host is an
// address. It gives the path that is left.
func (s *Source) host(host, path string, services ...string) (string, error) {
	name, port, hasPort := strings.Cut(host, ":")
	if strings.HasPrefix(host, "[") {
		end := strings.IndexByte(host, ']')
		if end < 0 {
			return "", badSource("the source path %q has a malformed host", s.URI)
		}
		name = host[1:end]
		port, hasPort = strings.CutPrefix(host[end+1:], ":")
		if !hasPort && port != "" {
			return "", badSource("the source path %q has a malformed host", s.URI)
		}
	}
	if hasPort {
		if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
			return "", badSource("the source path %q has the port %q; expected 1 to 65535", s.URI, port)
		}
	}
	host = strings.ToLower(host)
	if _, err := netip.ParseAddr(name); err == nil || strings.EqualFold(name, "localhost") {
		account, rest, _ := strings.Cut(path, "/")
		if account == "" {
			return "", badSource("the source path %q names no account; expected the account as the first segment after %s",
				s.URI, host)
		}
		s.Account, s.Endpoint = account, "https://"+host+"/"+account
		return rest, nil
	}
	labels := strings.Split(strings.ToLower(name), ".")
	if len(labels) < 3 || !hostName.MatchString(strings.ToLower(name)) || !slices.Contains(services, labels[1]) {
		return "", badSource("the source path %q has the host %q; expected account.%s.host, or an address such as "+
			"127.0.0.1:8443 followed by the account", s.URI, host, strings.Join(services, " or account."))
	}
	s.Account, s.Endpoint = labels[0], "https://"+host
	return path, nil
}

// azureml reads datastores/NAME/paths/path, with or without a workspace in front.
func (s Source) azureml(rest string) (Source, error) {
	const expected = "expected azureml://datastores/name/paths/path or azureml://subscriptions/id/resourcegroups/group/" +
		"workspaces/workspace/datastores/name/paths/path"
	parts := strings.Split(rest, "/")
	if len(parts) >= 6 && strings.EqualFold(parts[0], "subscriptions") {
		if !strings.EqualFold(parts[2], "resourcegroups") || !strings.EqualFold(parts[4], "workspaces") {
			return Source{}, badSource("the source path %q is malformed; %s", s.URI, expected)
		}
		id, err := workspaceID(parts[1], parts[3], parts[5])
		if err != nil {
			return Source{}, badSource("the source path %q is malformed; %s", s.URI, expected)
		}
		s.Workspace, parts = id, parts[6:]
	}
	if len(parts) < 3 || !strings.EqualFold(parts[0], "datastores") || !strings.EqualFold(parts[2], "paths") {
		return Source{}, badSource("the source path %q is malformed; %s", s.URI, expected)
	}
	if !fits(datastoreName, parts[1]) {
		return Source{}, badSource("the source path %q names the datastore %q; expected letters, digits, '_' and '-'", s.URI, parts[1])
	}
	s.Datastore = parts[1]
	return s.finish(strings.Join(parts[3:], "/"))
}

func workspaceID(subscription, group, name string) (resource.ID, error) {
	for _, part := range []string{subscription, group, name} {
		if part == "" || strings.ContainsAny(part, "/?#*[]") {
			return resource.ID{}, invalid("a part of the workspace's id is empty or malformed")
		}
	}
	return resource.ParseID("/subscriptions/" + subscription + "/resourceGroups/" + group +
		"/providers/Microsoft.MachineLearningServices/workspaces/" + name)
}

// finish checks the names and the path.
func (s Source) finish(path string) (Source, error) {
	if s.Scheme != SchemeAzureML {
		if !accountName.MatchString(s.Account) {
			return Source{}, badSource("the source path %q names the account %q; expected 3 to 24 lower-case letters and digits",
				s.URI, s.Account)
		}
		if !containerName.MatchString(s.Container) || len(s.Container) < 3 || len(s.Container) > 63 {
			return Source{}, badSource("the source path %q names the container %q; expected 3 to 63 lower-case letters, digits "+
				"and single hyphens", s.URI, s.Container)
		}
	}
	path = strings.TrimSuffix(strings.TrimPrefix(path, "/"), "/")
	if path == "" {
		return s, nil
	}
	for _, segment := range strings.Split(path, "/") {
		if segment == "" || segment == "." || segment == ".." {
			return Source{}, badSource("the source path %q has the segment %q; name every folder", s.URI, segment)
		}
	}
	if fault := checkGlob(path); fault != "" {
		return Source{}, badSource("the source path %q is malformed: %s", s.URI, fault)
	}
	s.Path = path
	return s, nil
}

// String is the path as it was written.
func (s Source) String() string { return s.URI }

// Prefix is what every blob name of the source starts with: list with it, then keep what Match accepts.
func (s Source) Prefix() string { return GlobPrefix(s.Path) }

// Match tells whether a blob belongs to the source: the path names it, or names or matches a folder above it. Below a
// folder, names that start with "." or "_" are markers and hidden files and do not belong, except folders of the form
// _name=value.
func (s Source) Match(blob string) bool {
	if s.Path == "" {
		return !hidden(blob)
	}
	if blob == s.Path || MatchGlob(s.Path, blob) {
		return true
	}
	for i := len(blob) - 1; i > 0; i-- {
		if blob[i] != '/' {
			continue
		}
		if folder := blob[:i]; (folder == s.Path || MatchGlob(s.Path, folder)) && !hidden(blob[i+1:]) {
			return true
		}
	}
	return false
}

func hidden(path string) bool {
	for _, segment := range strings.Split(path, "/") {
		if segment == "" || segment[0] == '.' || segment[0] == '_' && !strings.Contains(segment, "=") {
			return true
		}
	}
	return false
}
