package blob

import (
	"context"
	"net/http"
	"strings"

	"github.com/alvara-ml/alvara/resource"
)

type jsonPath struct {
	Name          string `json:"name"`
	IsDirectory   string `json:"isDirectory,omitempty"` // "true" for directories
	LastModified  string `json:"lastModified"`
	CreationTime  string `json:"creationTime,omitempty"`
	ETag          string `json:"etag"`
	ContentLength string `json:"contentLength"`
	Owner         string `json:"owner"`
	Group         string `json:"group"`
	Permissions   string `json:"permissions"`
}

func jsonPathOf(o Object) jsonPath {
	p := jsonPath{Name: strings.TrimSuffix(o.Name, "/"), LastModified: httpTime(o.Modified), ETag: o.ETag, ContentLength: itoa(o.Size),
		Owner: pathOwner, Group: pathOwner, Permissions: pathMode}
	if isFolder(&o) {
		p.IsDirectory = "true"
	}
	return p
}

// listPaths lists a directory, or everything below it.
func (s *Server) listPaths(q *request) error {
	size, err := q.pageSize("maxResults")
	if err != nil {
		return err
	}
	from, err := q.marker("continuation")
	if err != nil {
		return err
	}
	text := q.query.Get("recursive")
	if !strings.EqualFold(text, "true") && !strings.EqualFold(text, "false") {
		return errQuery("recursive", text, "true or false")
	}
	ctx, prefix := q.http.Context(), q.prefix()
	directory, err := s.stat(ctx, q.container, strings.TrimSuffix(prefix, "/"))
	if err != nil {
		return err
	}
	paths, next := []jsonPath{}, ""
	if isFolder(&directory) {
		paths, next, err = s.pathPage(ctx, q.container, prefix, strings.EqualFold(text, "true"), from, size)
	} else {
		paths = append(paths, jsonPathOf(directory))
	}
	if err != nil {
		return err
	}
	if next != "" {
		q.w.Header().Set("x-ms-continuation", markerOf(next))
	}
	return q.writeJSON(map[string]any{"paths": paths})
}

// pathPage reads a page. The continuation holds where to go on and, behind a NUL, the last name before it, which tells
// which implied directories have been listed.
func (s *Server) pathPage(ctx context.Context, container Container, prefix string, recursive bool, from string, size int) ([]jsonPath, string, error) {
	from, last, _ := strings.Cut(from, "\x00\x00")
	query := ListQuery{Prefix: prefix, From: from, Limit: size}
	if !recursive {
		query.Delimiter = "/"
	}
	page, err := s.Objects.List(ctx, container.Key, query)
	if err != nil {
		return nil, "", err
	}
	paths := []jsonPath{}
	for _, e := range page.Entries {
		name := e.Object.Name
		if e.Group != "" {
			name = e.Group
		}
		implied, err := s.implied(ctx, container, prefix, last, name)
		if err != nil {
			return nil, "", err
		}
		paths = append(paths, implied...)
		if e.Group == "" && !(strings.HasSuffix(name, "/")) {
			paths = append(paths, jsonPathOf(e.Object))
		}
		last = name
	}
	if page.Next == "" {
		return paths, "", nil
	}
	return paths, page.Next + "\x00\x00" + last, nil
}

// implied gives the directories above name, below prefix, that are not above the name listed before and have no
// marker, which would have been listed itself.
func (s *Server) implied(ctx context.Context, container Container, prefix, last, name string) ([]jsonPath, error) {
	var out []jsonPath
	for i := len(prefix); i < len(name); i++ {
		if name[i] != '/' || strings.HasPrefix(last, name[:i+1]) {
			continue
		}
		_, err := s.Objects.Head(ctx, container.Key, name[:i])
		if err == nil {
			continue
		}
		if resource.KindOf(err) != resource.NotFound {
			return nil, err
		}
		out = append(out, jsonPathOf(Object{Name: name[:i], ETag: container.ETag, Modified: container.Modified,
			Metadata: map[string]string{folderMark: "true"}}))
	}
	return out, nil
}

// deletePath removes a file, or a directory with what lies in it.
func (s *Server) deletePath(q *request) error {
	ctx := q.http.Context()
	c, err := q.conditions("")
	if err != nil {
		return err
	}
	o, err := s.stat(ctx, q.container, q.at.path)
	if err != nil {
		return err
	}
	if err := c.forWrite(&o); err != nil {
		return err
	}
	if isFolder(&o) {
		if err := s.deleteChildren(ctx, q); err != nil {
			return err
		}
	}
	err = s.Objects.Delete(ctx, q.container.Key, q.at.path, func(current *Object) (Object, error) {
		if current == nil {
			return Object{}, errNoBlob()
		}
		return *current, c.forWrite(current)
	})
	if err != nil && !(isFolder(&o) && resource.KindOf(err) == resource.NotFound) {
		return err
	}
	return q.answer(http.StatusOK)
}

func (s *Server) deleteChildren(ctx context.Context, q *request) error {
	full, err := s.hasChildren(ctx, q.container, q.at.path)
	if err != nil || !full {
		return err
	}
	if !strings.EqualFold(q.query.Get("recursive"), "true") {
		return resource.Conflictf("DirectoryNotEmpty", "The recursive query parameter value must be true to delete a non-empty directory.")
	}
	if err := q.wholeTree(q.who); err != nil {
		return err
	}
	names, err := s.below(ctx, q.container, q.at.path)
	if err != nil {
		return err
	}
	for i := len(names) - 1; i >= 0; i-- { // from the bottom, so that what is left after a fault is still a tree
		err := s.Objects.Delete(ctx, q.container.Key, names[i], func(current *Object) (Object, error) {
			if current == nil {
				return Object{}, errNoBlob()
			}
			return *current, nil
		})
		if err != nil && resource.KindOf(err) != resource.NotFound {
			return err
		}
	}
	return nil
}

// wholeTree refuses a signature on one blob where a directory is meant.
func (q *request) wholeTree(who subject) error {
	if who.grant != nil && who.grant.kind == "b" {
		return resource.Forbiddenf("AuthorizationPermissionMismatch", "The SAS is for one path, and does not reach what lies below it.")
	}
	return nil
}

// below lists all names under a directory.
func (s *Server) below(ctx context.Context, container Container, path string) ([]string, error) {
	var names []string
	query := ListQuery{Prefix: path + "/", Limit: maxPage}
	for {
		page, err := s.Objects.List(ctx, container.Key, query)
		if err != nil {
			return nil, err
		}
		for _, e := range page.Entries {
			names = append(names, e.Object.Name)
		}
		if page.Next == "" {
			return names, nil
		}
		query.From = page.Next
	}
}

// renamePath moves a file, or a directory with what lies in it, in one step.
func (s *Server) renamePath(q *request) error {
	ctx, from := q.http.Context(), q.source
	if from.container.Key == "" {
		return resource.NotFoundf("SourcePathNotFound", "The source path for a rename operation does not exist.")
	}
	o, err := s.stat(ctx, from.container, from.at.path)
	if resource.KindOf(err) == resource.NotFound && err != nil {
		return resource.NotFoundf("SourcePathNotFound", "The source path for a rename operation does not exist.")
	}
	if err != nil {
		return err
	}
	if err := s.checkDestination(ctx, q, o); err != nil {
		return err
	}
	moves, err := s.moves(ctx, q, o)
	if err != nil {
		return err
	}
	if err := s.Objects.Move(ctx, moves); err != nil {
		return err
	}
	if o, err = s.stat(ctx, q.container, q.at.path); err == nil {
		writeVersion(q.w.Header(), o)
	}
	return q.answer(http.StatusCreated)
}

func (s *Server) checkDestination(ctx context.Context, q *request, from Object) error {
	same := q.container.Key == q.source.container.Key
	if same && (q.at.path == q.source.at.path || strings.HasPrefix(q.at.path, q.source.at.path+"/")) {
		return resource.Conflictf("InvalidRenameSourcePath", "The source path cannot be the destination, nor lie above it.")
	}
	if parent := parentOf(q.at.path); parent != "" {
		o, err := s.stat(ctx, q.container, parent)
		if err != nil && resource.KindOf(err) == resource.NotFound {
			return resource.NotFoundf("RenameDestinationParentPathNotFound", "The parent directory of the destination path does not exist.")
		}
		if err != nil {
			return err
		}
		if !isFolder(&o) {
			return resource.Conflictf("PathConflict", "The path %q is a file, so that nothing can lie below it.", parent)
		}
	}
	full, err := s.hasChildren(ctx, q.container, q.at.path)
	if err != nil {
		return err
	}
	if full {
		return errIsDirectory(q.at.path)
	}
	if isFolder(&from) {
		return firstOf(q.wholeTree(q.who), q.wholeTree(q.source.who))
	}
	return nil
}

func parentOf(path string) string {
	if i := strings.LastIndexByte(path, '/'); i >= 0 {
		return path[:i]
	}
	return ""
}

// moves lists the steps of a rename; the path itself is the first, made when it is a directory without a marker.
func (s *Server) moves(ctx context.Context, q *request, o Object) ([]Move, error) {
	c, err := q.conditions("")
	if err != nil {
		return nil, err
	}
	onSource, err := q.conditions("x-ms-source-")
	if err != nil {
		return nil, err
	}
	step := func(name string, decide func(Object, *Object) (Object, error)) Move {
		return Move{FromContainer: q.source.container.Key, From: q.source.at.path + name, ToContainer: q.container.Key, To: q.at.path + name, Decide: decide}
	}
	var moves []Move
	_, err = s.Objects.Head(ctx, q.source.container.Key, q.source.at.path)
	marked := err == nil
	if err != nil && resource.KindOf(err) != resource.NotFound {
		return nil, err
	}
	if marked {
		moves = append(moves, step("", func(source Object, destination *Object) (Object, error) {
			if onSource.forWrite(&source) != nil {
				return Object{}, resource.Errorf(resource.PreconditionFailed, "SourceConditionNotMet", "The source condition specified using HTTP conditional header(s) is not met.")
			}
			if destination != nil && isFolder(destination) != isFolder(&source) {
				return Object{}, resource.Conflictf("PathAlreadyExists", "The destination exists, and is a %s.", destination.resourceType())
			}
			return source, q.mayWrite(c, destination)
		}))
	}
	if !isFolder(&o) {
		return moves, nil
	}
	names, err := s.below(ctx, q.source.container, q.source.at.path)
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		moves = append(moves, step(strings.TrimPrefix(name, q.source.at.path), func(source Object, destination *Object) (Object, error) {
			if destination != nil {
				return Object{}, errIsDirectory(q.at.path)
			}
			return source, nil
		}))
	}
	return moves, nil
}

// listFilesystems lists the containers of the account for clients of the DFS protocol.
func (s *Server) listFilesystems(q *request) error {
	size, err := q.pageSize("maxresults")
	if err != nil {
		return err
	}
	from, err := q.marker("continuation")
	if err != nil {
		return err
	}
	page, next, err := s.containerPage(q, size, from)
	if err != nil {
		return err
	}
	if next != "" {
		q.w.Header().Set("x-ms-continuation", markerOf(next))
	}
	type filesystem struct {
		Name         string `json:"name"`
		LastModified string `json:"lastModified"`
		ETag         string `json:"etag"`
	}
	list := []filesystem{}
	for _, c := range page {
		list = append(list, filesystem{Name: c.Name, LastModified: httpTime(c.Modified), ETag: c.ETag})
	}
	return q.writeJSON(map[string]any{"filesystems": list})
}
