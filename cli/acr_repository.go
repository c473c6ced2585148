package cli

import (
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/alvara-ml/alvara/cli/document"
)

type acrRepositoryGroup struct {
	List          acrRepositoryList      `cmd:"" help:"List the repositories that you may pull from." example:"alvara acr repository list -n fraudacr -o tsv"`
	Show          acrRepositoryShow      `cmd:"" help:"Show a repository, a tag or a manifest with its locks." example:"alvara acr repository show -n fraudacr --image scorer:1"`
	ShowTags      acrRepositoryTags      `cmd:"" name:"show-tags" help:"List the tags of a repository." example:"alvara acr repository show-tags -n fraudacr --repository scorer --orderby time_desc --top 5"`
	ShowManifests acrRepositoryManifests `cmd:"" name:"show-manifests" help:"List the manifests of a repository." example:"alvara acr repository show-manifests -n fraudacr --repository scorer --detail"`
	Update        acrRepositoryUpdate    `cmd:"" help:"Lock or unlock a repository, a tag or a manifest." example:"alvara acr repository update -n fraudacr --image scorer:1 --write-enabled false --delete-enabled false"`
	Delete        acrRepositoryDelete    `cmd:"" help:"Delete a repository, or a manifest with all its tags." example:"alvara acr repository delete -n fraudacr --image scorer:1 --yes"`
	Untag         acrRepositoryUntag     `cmd:"" help:"Remove a tag and keep its manifest." example:"alvara acr repository untag -n fraudacr --image scorer:1"`
}

const (
	repositoryColumns = "[].{NAME:imageName, CREATED:createdTime, UPDATED:lastUpdateTime, TAGS:tagCount, MANIFESTS:manifestCount}"
	tagColumns        = "[].{NAME:name, DIGEST:digest, CREATED:createdTime, UPDATED:lastUpdateTime}"
	manifestColumns   = "[].{DIGEST:digest, TAGS:join(', ', tags || `[]`), CREATED:createdTime, SIZE:imageSize}"
)

// What a name may be, so that nothing that is written as one leads to another address.
var (
	repositoryName = regexp.MustCompile(`^[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*$`)
	tagName        = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$`)
	digestName     = regexp.MustCompile(`^[a-z0-9]+(?:[.+_-][a-z0-9]+)*:[0-9a-f]{32,}$`)
)

// image is a repository, or one tag or manifest in it.
type image struct{ repository, tag, digest string }

// parseImage reads REPOSITORY[:TAG] or REPOSITORY@DIGEST, also with the login server in front.
func parseImage(flag, text, server string) (image, error) {
	rest := strings.TrimPrefix(text, server+"/")
	var out image
	if name, digest, ok := strings.Cut(rest, "@"); ok {
		out = image{repository: name, digest: digest}
	} else {
		out.repository, out.tag, _ = strings.Cut(rest, ":")
	}
	switch {
	case !repositoryName.MatchString(out.repository):
		return image{}, usagef("%s: %q is no image of the registry: the repository has lower-case letters, digits and . _ - / between them", flag, text)
	case strings.Contains(rest, "@") && !digestName.MatchString(out.digest):
		return image{}, usagef("%s: %q is no image: what follows the @ must be a digest such as sha256:0123…", flag, text)
	case !strings.Contains(rest, "@") && strings.Contains(rest, ":") && !tagName.MatchString(out.tag):
		return image{}, usagef("%s: %q is no image: the tag after the colon has at most 128 letters, digits and . _ -", flag, text)
	}
	return out, nil
}

// attributes is where the registry keeps what it knows of an image.
func (i image) attributes() string {
	switch {
	case i.digest != "":
		return "/acr/v1/" + i.repository + "/_manifests/" + i.digest
	case i.tag != "":
		return "/acr/v1/" + i.repository + "/_tags/" + i.tag
	}
	return "/acr/v1/" + i.repository
}

// part picks the part of the answer that is about the image.
func (i image) part(answer *document.Object) *document.Object {
	switch {
	case i.digest != "" && answer.Object("manifest") != nil:
		return answer.Object("manifest")
	case i.tag != "" && answer.Object("tag") != nil:
		return answer.Object("tag")
	}
	return answer
}

func (i image) columns() string {
	switch {
	case i.digest != "":
		return manifestColumns
	case i.tag != "":
		return tagColumns
	}
	return repositoryColumns
}

func (p *registryPlane) object(method, path string, body any) (*document.Object, error) {
	response, err := p.do(method, path, nil, nil, body)
	if err != nil {
		return nil, err
	}
	return response.Object()
}

const pageSize = 100

// list reads a collection page by page, at most top elements (0 for all); field names the list in the answer.
func (p *registryPlane) list(path, field string, top int, query url.Values) ([]any, error) {
	out := []any{}
	if query == nil {
		query = url.Values{}
	}
	for last := ""; ; {
		size := pageSize
		if top > 0 {
			size = min(size, top-len(out))
		}
		query.Set("n", strconv.Itoa(size))
		if last != "" {
			query.Set("last", last)
		}
		response, err := p.do(http.MethodGet, path, query, nil, nil)
		if err != nil {
			return nil, err
		}
		answer, err := response.Object()
		if err != nil {
			return nil, err
		}
		out = append(out, answer.List(field)...)
		next := nextPage(response.Header.Get("Link"))
		if top > 0 && len(out) >= top {
			return out[:top], nil
		}
		if next == "" || next == last {
			return out, nil
		}
		last = next
	}
}

// nextPage gives the parameter `last` of the page that Link: </acr/v1/…?last=x&n=100>; rel="next" leads to.
func nextPage(link string) string {
	target, parameters, ok := strings.Cut(strings.TrimPrefix(strings.TrimSpace(link), "<"), ">")
	if !ok || !strings.Contains(parameters, "next") {
		return ""
	}
	parsed, err := url.Parse(target)
	if err != nil {
		return ""
	}
	return parsed.Query().Get("last")
}

type acrRepositoryList struct {
	planeFlags
	Top int `help:"At most this many."`
}

func (a *acrRepositoryList) Run(c *Call) error {
	plane, err := a.plane(c)
	if err != nil {
		return err
	}
	found, err := plane.list("/acr/v1/_catalog", "repositories", a.Top, nil)
	if err != nil {
		return err
	}
	return c.PrintColumns(found, "[].{RESULT:@}")
}

// imageFlags name a repository, or a tag or manifest in one.
type imageFlags struct {
	planeFlags
	Image      string `short:"t" placeholder:"NAME" help:"A tag or a manifest: NAME:TAG, NAME@sha256:…; NAME alone is its tag latest."`
	Repository string `placeholder:"NAME" help:"A whole repository."`
}

func (f *imageFlags) image(c *Call) (*registryPlane, image, error) {
	if (f.Image == "") == (f.Repository == "") {
		return nil, image{}, usagef("say what is meant: --repository NAME for a repository, or --image NAME:TAG for a tag or manifest")
	}
	plane, err := f.plane(c)
	if err != nil {
		return nil, image{}, err
	}
	if f.Repository != "" {
		named, err := repositoryFlag(f.Repository, plane.server)
		return plane, named, err
	}
	named, err := parseImage("--image", f.Image, plane.server)
	if err == nil && named.tag == "" && named.digest == "" {
		named.tag = "latest"
	}
	return plane, named, err
}

func repositoryFlag(text, server string) (image, error) {
	named, err := parseImage("--repository", text, server)
	if err == nil && (named.tag != "" || named.digest != "") {
		err = usagef("--repository: %q names an image; a repository has no tag and no digest", text)
	}
	return named, err
}

type acrRepositoryShow struct{ imageFlags }

func (a *acrRepositoryShow) Run(c *Call) error {
	plane, named, err := a.image(c)
	if err != nil {
		return err
	}
	found, err := plane.object(http.MethodGet, named.attributes(), nil)
	if err != nil {
		return err
	}
	return c.PrintColumns(named.part(found), named.columns())
}

type acrRepositoryUpdate struct {
	imageFlags
	DeleteEnabled *bool `name:"delete-enabled" help:"Whether it may be deleted."`
	ListEnabled   *bool `name:"list-enabled" help:"Whether lists show it."`
	ReadEnabled   *bool `name:"read-enabled" help:"Whether it may be pulled."`
	WriteEnabled  *bool `name:"write-enabled" help:"Whether it may be pushed to, or its tag moved."`
}

func (a *acrRepositoryUpdate) Run(c *Call) error {
	body := document.New()
	for _, lock := range []struct {
		name  string
		value *bool
	}{{"deleteEnabled", a.DeleteEnabled}, {"listEnabled", a.ListEnabled}, {"readEnabled", a.ReadEnabled}, {"writeEnabled", a.WriteEnabled}} {
		if lock.value != nil {
			body.Set(lock.name, *lock.value)
		}
	}
	if body.Len() == 0 {
		return usagef("say what to change: --delete-enabled, --list-enabled, --read-enabled or --write-enabled, with true or false")
	}
	plane, named, err := a.image(c)
	if err != nil {
		return err
	}
	if _, err := plane.do(http.MethodPatch, named.attributes(), nil, nil, body); err != nil {
		return err
	}
	found, err := plane.object(http.MethodGet, named.attributes(), nil)
	if err != nil {
		return err
	}
	return c.PrintColumns(named.part(found), named.columns())
}

// listFlags say which part of a repository's tags or manifests is listed, and in which order.
type listFlags struct {
	Top     int    `help:"At most this many."`
	OrderBy string `name:"orderby" enum:",time_asc,time_desc" default:"" help:"Order: time_asc or time_desc, by the last change; without it by name."`
}

func (f listFlags) list(plane *registryPlane, repository, kind string) ([]any, error) {
	query := url.Values{}
	if f.OrderBy != "" {
		query.Set("orderby", strings.ReplaceAll(f.OrderBy, "_", ""))
	}
	return plane.list("/acr/v1/"+repository+"/_"+kind, kind, f.Top, query)
}

type repositoryFlags struct {
	planeFlags
	Repository string `required:"" placeholder:"NAME" help:"Repository."`
}

func (f *repositoryFlags) repository(c *Call) (*registryPlane, string, error) {
	plane, err := f.plane(c)
	if err != nil {
		return nil, "", err
	}
	named, err := repositoryFlag(f.Repository, plane.server)
	return plane, named.repository, err
}

type acrRepositoryTags struct {
	repositoryFlags
	listFlags
	Detail bool `help:"Show everything about each, not the names alone."`
}

func (a *acrRepositoryTags) Run(c *Call) error {
	plane, repository, err := a.repository(c)
	if err != nil {
		return err
	}
	found, err := a.list(plane, repository, "tags")
	if err != nil {
		return err
	}
	if a.Detail {
		return c.PrintColumns(found, tagColumns)
	}
	names := []any{}
	for _, element := range found {
		if object, ok := element.(*document.Object); ok {
			names = append(names, object.Get("name"))
		}
	}
	return c.PrintColumns(names, "[].{RESULT:@}")
}

type acrRepositoryManifests struct {
	repositoryFlags
	listFlags
	Detail bool `help:"Show everything about each, not digest, tags and time alone."`
}

func (a *acrRepositoryManifests) Run(c *Call) error {
	plane, repository, err := a.repository(c)
	if err != nil {
		return err
	}
	found, err := a.list(plane, repository, "manifests")
	if err != nil {
		return err
	}
	if a.Detail {
		return c.PrintColumns(found, manifestColumns)
	}
	short := []any{}
	for _, element := range found {
		if object, ok := element.(*document.Object); ok {
			tags := object.List("tags")
			short = append(short, document.New("digest", object.Get("digest"), "tags", slices.Clone(tags), "timestamp", object.Get("lastUpdateTime")))
		}
	}
	return c.PrintColumns(short, "[].{DIGEST:digest, TAGS:join(', ', tags || `[]`), TIMESTAMP:timestamp}")
}
