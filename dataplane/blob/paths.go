package blob

import (
	"context"
	"encoding/base64"
	"errors"
	"net/http"
	"strings"

	"github.com/alvara-ml/alvara/resource"
)

// A directory is an empty blob that carries folderMark, or what a longer name implies. Both protocols see the same.

// Owner, group and mode are the same everywhere: roles decide, and there are no access control lists.
const (
	pathOwner = "$superuser"
	pathMode  = "rwxr-x---"
	pathACL   = "user::rwx,group::r-x,other::---"
)

// stat finds a file or a directory, marked or implied.
func (s *Server) stat(ctx context.Context, container Container, path string) (Object, error) {
	if path != "" {
		o, err := s.Objects.Head(ctx, container.Key, path)
		if err == nil || resource.KindOf(err) != resource.NotFound {
			return o, err
		}
		full, err := s.hasChildren(ctx, container, path)
		if err != nil {
			return Object{}, err
		}
		if !full {
			return Object{}, errNoBlob()
		}
	}
	return Object{Name: path, Kind: BlockBlob, ETag: container.ETag, Created: container.Modified, Modified: container.Modified,
		Metadata: map[string]string{folderMark: "true"}}, nil
}

func (s *Server) hasChildren(ctx context.Context, container Container, path string) (bool, error) {
	page, err := s.Objects.List(ctx, container.Key, ListQuery{Prefix: path + "/", Limit: 1})
	return len(page.Entries) > 0, err
}

// properties reads the header x-ms-properties: name=base64, comma-separated.
func (q *request) properties() (map[string]string, error) {
	out := map[string]string{}
	total := 0
	for part := range strings.SplitSeq(q.header("x-ms-properties"), ",") {
		part = strings.TrimSpace(part)
		if part == "" {
			continue
		}
		name, value, ok := strings.Cut(part, "=")
		raw, err := base64.StdEncoding.DecodeString(value)
		if !ok || err != nil || strings.ContainsFunc(string(raw), func(r rune) bool { return r < 0x20 || r == 0x7f }) {
			return nil, errHeader("x-ms-properties", part, "name=value with the value in base64, and without control characters")
		}
		name = strings.ToLower(name)
		out[name] = string(raw)
		total += len(name) + len(raw)
	}
	return out, checkMetadata(out, total)
}

// writeProperties sets x-ms-properties for clients of the DFS protocol.
func (q *request) writeProperties(o Object) {
	if !q.json() {
		return
	}
	parts := make([]string, 0, len(o.Metadata))
	for _, name := range sortedKeys(o.Metadata) {
		if name != folderMark {
			parts = append(parts, name+"="+base64.StdEncoding.EncodeToString([]byte(o.Metadata[name])))
		}
	}
	q.w.Header().Set("x-ms-properties", strings.Join(parts, ","))
}

// pathHeaders reads the headers that are kept with a file.
func (q *request) pathHeaders() (Headers, error) {
	h := Headers{
		ContentType: q.header("x-ms-content-type"), ContentEncoding: q.header("x-ms-content-encoding"),
		ContentLanguage: q.header("x-ms-content-language"), ContentDisposition: q.header("x-ms-content-disposition"),
		CacheControl: q.header("x-ms-cache-control"),
	}
	if text := q.header("x-ms-content-md5"); text != "" {
		sum, err := base64.StdEncoding.DecodeString(text)
		if err != nil || len(sum) != 16 {
			return h, resource.Invalidf("InvalidMd5", "x-ms-content-md5 is %q; expected 16 bytes in base64", text).At("x-ms-content-md5")
		}
		h.ContentMD5 = sum
	}
	return h, nil
}

// pathStatus answers HEAD of a file or directory.
func (s *Server) pathStatus(q *request) error {
	o, err := s.stat(q.http.Context(), q.container, q.at.path)
	if err != nil {
		return err
	}
	c, err := q.conditions("")
	if err != nil {
		return err
	}
	if err := c.forRead(o); err != nil {
		return err
	}
	q.writeObject(o)
	q.writeProperties(o)
	h := q.w.Header()
	h.Set("x-ms-owner", pathOwner)
	h.Set("x-ms-group", pathOwner)
	h.Set("x-ms-permissions", pathMode)
	if strings.EqualFold(q.query.Get("action"), "getAccessControl") {
		h.Set("x-ms-acl", pathACL)
	}
	q.answered = true
	h.Set("Content-Length", itoa(o.Size))
	q.w.WriteHeader(http.StatusOK)
	return nil
}

// setAccessControl takes the mode that file systems set by habit, which changes nothing, and refuses lists, which are
// meant to let somebody in.
func (s *Server) setAccessControl(q *request) error {
	for entry := range strings.SplitSeq(q.header("x-ms-acl"), ",") {
		parts := strings.Split(strings.TrimPrefix(strings.TrimSpace(entry), "default:"), ":")
		if len(parts) == 3 && parts[1] != "" {
			return resource.Errorf(resource.Unsupported, "FeatureNotSupported", "access control lists are not offered; assign a role instead").At("x-ms-acl")
		}
	}
	o, err := s.stat(q.http.Context(), q.container, q.at.path)
	return q.changed(o, err)
}

// setPathProperties replaces the properties, and the headers that are given.
func (s *Server) setPathProperties(q *request) error {
	metadata, err := q.properties()
	if err != nil {
		return err
	}
	headers, err := q.pathHeaders()
	if err != nil {
		return err
	}
	return s.update(q, func(o *Object) {
		if isFolder(o) {
			metadata[folderMark] = "true"
		}
		if q.header("x-ms-properties") != "" {
			o.Metadata = metadata
		}
		o.Headers.replace(headers)
	})
}

// createPath makes a file or a directory, and the directories above it.
func (s *Server) createPath(q *request) error {
	metadata, err := q.properties()
	if err != nil {
		return err
	}
	headers, err := q.pathHeaders()
	if err != nil {
		return err
	}
	c, err := q.conditions("")
	if err != nil {
		return err
	}
	ctx, folder := q.http.Context(), q.op.name == "CreateDirectory"
	if folder {
		metadata[folderMark] = "true"
	} else if full, err := s.hasChildren(ctx, q.container, q.at.path); err != nil || full {
		return firstOf(err, errIsDirectory(q.at.path))
	}
	missing, err := s.missingParents(ctx, q.container, q.at.path)
	if err != nil {
		return err
	}
	o, err := s.Objects.Put(ctx, q.container.Key, q.at.path, nil, func(current *Object) (Object, error) {
		if err := q.mayWrite(c, current); err != nil {
			return Object{}, err
		}
		if current != nil && isFolder(current) != folder {
			return Object{}, resource.Conflictf("PathAlreadyExists", "The specified path %q already exists, and is a %s.", q.at.path, current.resourceType())
		}
		return Object{Kind: BlockBlob, Headers: headers, Metadata: metadata}, nil
	})
	if err == nil {
		err = s.makeParents(ctx, q.container, missing)
	}
	return q.written(o, err)
}

func firstOf(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

func errIsDirectory(path string) error {
	return resource.Conflictf("PathAlreadyExists", "The specified path %q already exists, and is a directory.", path)
}

// errPresent ends the making of a parent that is there already.
var errPresent = resource.Conflictf("PathAlreadyExists", "the directory is there")

// missingParents lists the directories above a path that have no marker. None of them may be a file.
func (s *Server) missingParents(ctx context.Context, container Container, path string) ([]string, error) {
	var missing []string
	for i, r := range path {
		if r != '/' {
			continue
		}
		o, err := s.Objects.Head(ctx, container.Key, path[:i])
		switch {
		case err == nil && !isFolder(&o):
			return nil, resource.Conflictf("PathConflict", "The path %q is a file, so that nothing can lie below it.", path[:i])
		case err == nil:
		case resource.KindOf(err) == resource.NotFound:
			missing = append(missing, path[:i])
		default:
			return nil, err
		}
	}
	return missing, nil
}

// makeParents marks directories, so that they stay when what lies in them goes.
func (s *Server) makeParents(ctx context.Context, container Container, missing []string) error {
	for _, path := range missing {
		_, err := s.Objects.Put(ctx, container.Key, path, nil, func(current *Object) (Object, error) {
			if current != nil {
				return Object{}, errPresent
			}
			return Object{Kind: BlockBlob, Metadata: map[string]string{folderMark: "true"}}, nil
		})
		if err != nil && !errors.Is(err, errPresent) {
			return err
		}
	}
	return nil
}

// filesystemProperties answers HEAD of a file system.
func (s *Server) filesystemProperties(q *request) error {
	q.writeContainer(q.container)
	q.writeProperties(Object{Metadata: q.container.Metadata})
	q.w.Header().Set("x-ms-namespace-enabled", "true")
	return q.answer(http.StatusOK)
}

// setFilesystemProperties replaces the properties of a file system.
func (s *Server) setFilesystemProperties(q *request) error {
	metadata, err := q.properties()
	if err != nil {
		return err
	}
	return s.replaceContainerMetadata(q, metadata)
}
