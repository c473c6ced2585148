package blob

import (
	"context"
	"encoding/base64"
	"encoding/xml"
	"maps"
	"net/url"
	"slices"
	"strings"

	"github.com/alvara-ml/alvara/resource"
)

func sortedKeys(m map[string]string) []string { return slices.Sorted(maps.Keys(m)) }

// xmlName is a blob's name. One that XML cannot hold is percent-encoded and says so.
type xmlName struct {
	Encoded string `xml:",attr,omitempty"`
	Text    string `xml:",chardata"`
}

func nameOf(name string) xmlName {
	unfit := func(r rune) bool {
		return r < 0x20 || r == 0xFFFE || r == 0xFFFF || r == 0xFFFD
	}
	if strings.ContainsFunc(name, unfit) {
		return xmlName{Encoded: "true", Text: url.PathEscape(name)}
	}
	return xmlName{Text: name}
}

type xmlBlob struct {
	XMLName    xml.Name `xml:"Blob"`
	Name       xmlName
	Properties xmlProperties
	Metadata   *xmlMetadata
}

type xmlProperties struct {
	Created            string `xml:"Creation-Time"`
	Modified           string `xml:"Last-Modified"`
	Etag               string
	ResourceType       string
	Size               int64  `xml:"Content-Length"`
	ContentType        string `xml:"Content-Type"`
	ContentEncoding    string `xml:"Content-Encoding,omitempty"`
	ContentLanguage    string `xml:"Content-Language,omitempty"`
	ContentMD5         string `xml:"Content-MD5,omitempty"`
	CacheControl       string `xml:"Cache-Control,omitempty"`
	ContentDisposition string `xml:"Content-Disposition,omitempty"`
	BlobType           string
	AccessTier         string
	AccessTierInferred bool `xml:",omitempty"`
	LeaseStatus        string
	LeaseState         string
	ServerEncrypted    bool
	CopyID             string `xml:"CopyId,omitempty"`
	CopyStatus         string `xml:",omitempty"`
	CopySource         string `xml:",omitempty"`
	CopyCompletion     string `xml:"CopyCompletionTime,omitempty"`
}

type xmlPrefix struct {
	XMLName xml.Name `xml:"BlobPrefix"`
	Name    xmlName
}

// listBlobs lists blobs, all below the prefix or one level.
func (s *Server) listBlobs(q *request) error {
	size, err := q.pageSize("maxresults")
	if err != nil {
		return err
	}
	from, err := q.marker("marker")
	if err != nil {
		return err
	}
	if start := q.query.Get("startfrom"); from == "" && start != "" {
		from = start
	}
	include := map[string]bool{}
	for word := range strings.SplitSeq(strings.ToLower(q.query.Get("include")), ",") {
		include[strings.TrimSpace(word)] = true
	}
	if include["snapshots"] && q.query.Get("delimiter") != "" {
		return errQuery("include", q.query.Get("include"), "no snapshots together with a delimiter")
	}
	query := ListQuery{Prefix: q.query.Get("prefix"), Delimiter: q.query.Get("delimiter"), From: from, Limit: size}
	page, err := s.Objects.List(q.http.Context(), q.container.Key, query)
	if err != nil {
		return err
	}
	var document struct {
		XMLName         xml.Name `xml:"EnumerationResults"`
		ServiceEndpoint string   `xml:",attr"`
		ContainerName   string   `xml:",attr"`
		Prefix          string   `xml:",omitempty"`
		Marker          string   `xml:",omitempty"`
		MaxResults      int
		Delimiter       string `xml:",omitempty"`
		Blobs           struct{ Entries []any }
		NextMarker      string
	}
	document.ServiceEndpoint, document.ContainerName = q.endpoint(), q.container.Name
	document.Prefix, document.Marker = query.Prefix, q.query.Get("marker")
	document.MaxResults, document.Delimiter = size, query.Delimiter
	if page.Next != "" {
		document.NextMarker = markerOf(page.Next)
	}
	for _, e := range page.Entries {
		one, err := s.blobEntry(q.http.Context(), q.container, query, e, include["metadata"])
		if err != nil {
			return err
		}
		if one != nil {
			document.Blobs.Entries = append(document.Blobs.Entries, one)
		}
	}
	return q.writeXML(document)
}

// blobEntry gives one element of a listing, or nil. A directory is shown once, as a prefix: where its marker stands
// when it has one, and otherwise where what lies in it begins.
func (s *Server) blobEntry(ctx context.Context, container Container, query ListQuery, e Entry, metadata bool) (any, error) {
	folders := query.Delimiter == "/"
	if e.Group != "" {
		marker := strings.TrimSuffix(e.Group, "/")
		if folders && strings.HasPrefix(marker, query.Prefix) {
			if o, err := s.Objects.Head(ctx, container.Key, marker); err == nil && isFolder(&o) {
				return nil, nil
			} else if err != nil && resource.KindOf(err) != resource.NotFound {
				return nil, err
			}
		}
		return xmlPrefix{Name: nameOf(e.Group)}, nil
	}
	if folders && isFolder(&e.Object) && !strings.HasSuffix(e.Object.Name, "/") {
		return xmlPrefix{Name: nameOf(e.Object.Name + "/")}, nil
	}
	return xmlBlobOf(e.Object, metadata), nil
}

func xmlBlobOf(o Object, metadata bool) xmlBlob {
	b := xmlBlob{Name: nameOf(o.Name), Properties: xmlProperties{
		Created: httpTime(o.Created), Modified: httpTime(o.Modified), Etag: o.ETag, ResourceType: o.resourceType(),
		Size: o.Size, ContentType: o.contentType(), ContentEncoding: o.Headers.ContentEncoding,
		ContentLanguage: o.Headers.ContentLanguage, CacheControl: o.Headers.CacheControl,
		ContentDisposition: o.Headers.ContentDisposition, BlobType: string(o.Kind),
		AccessTier: o.tier(), AccessTierInferred: o.Tier == "", LeaseStatus: "unlocked", LeaseState: "available",
	}}
	if o.Headers.ContentMD5 != nil {
		b.Properties.ContentMD5 = base64.StdEncoding.EncodeToString(o.Headers.ContentMD5)
	}
	if c := o.Copied; c != nil {
		b.Properties.CopyID, b.Properties.CopyStatus, b.Properties.CopySource = c.ID, "success", c.Source
		b.Properties.CopyCompletion = httpTime(c.At)
	}
	if metadata {
		m := xmlMetadata(o.Metadata)
		b.Metadata = &m
	}
	return b
}
