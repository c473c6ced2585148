package blob

import (
	"encoding/base64"
	"encoding/xml"
	"net/http"
	"strings"

	"github.com/alvara-ml/alvara/resource"
)

// maxPage is the longest page of any listing.
const maxPage = 5000

// pageSize reads how many entries the client wants at most.
func (q *request) pageSize(name string) (int, error) {
	n, err := parseCount(name, q.query.Get(name), errQuery)
	switch {
	case err != nil:
		return 0, err
	case n == 0:
		return 0, resource.Invalidf("OutOfRangeQueryParameterValue", "%s must be at least 1", name).At(name)
	case n < 0 || n > maxPage:
		return maxPage, nil
	}
	return int(n), nil
}

// marker reads where a listing goes on. It is opaque to clients.
func (q *request) marker(name string) (string, error) {
	text := q.query.Get(name)
	raw, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil {
		return "", errQuery(name, text, "the marker of the page before")
	}
	return string(raw), nil
}

func markerOf(next string) string { return base64.RawURLEncoding.EncodeToString([]byte(next)) }

type xmlContainer struct {
	Name       string
	Properties struct {
		LastModified string `xml:"Last-Modified"`
		Etag         string
		LeaseStatus  string
		LeaseState   string
	}
	Metadata *xmlMetadata
}

// xmlMetadata writes one element per name.
type xmlMetadata map[string]string

// MarshalXML writes the names in order.
func (m xmlMetadata) MarshalXML(e *xml.Encoder, start xml.StartElement) error {
	if err := e.EncodeToken(start); err != nil {
		return err
	}
	for _, name := range sortedKeys(m) {
		if err := e.EncodeElement(m[name], xml.StartElement{Name: xml.Name{Local: name}}); err != nil {
			return err
		}
	}
	return e.EncodeToken(start.End())
}

// endpoint is the account's URL, as the client wrote it.
func (q *request) endpoint() string {
	scheme := "https://"
	if q.http.TLS == nil {
		scheme = "http://"
	}
	if q.at.fromHost {
		return scheme + q.http.Host + "/"
	}
	return scheme + q.http.Host + "/" + q.at.account + "/"
}

// containerPage reads a page of containers, with the marker of the next.
func (s *Server) containerPage(q *request, size int, from string) ([]Container, string, error) {
	page, err := s.Catalog.Containers(q.http.Context(), q.account.Name, q.query.Get("prefix"), from, size+1)
	if err != nil || len(page) <= size {
		return page, "", err
	}
	return page[:size], page[size-1].Name, nil
}

// listContainers lists the containers of the account.
func (s *Server) listContainers(q *request) error {
	size, err := q.pageSize("maxresults")
	if err != nil {
		return err
	}
	from, err := q.marker("marker")
	if err != nil {
		return err
	}
	page, next, err := s.containerPage(q, size, from)
	if err != nil {
		return err
	}
	var document struct {
		XMLName         xml.Name `xml:"EnumerationResults"`
		ServiceEndpoint string   `xml:",attr"`
		Prefix          string   `xml:",omitempty"`
		Marker          string   `xml:",omitempty"`
		MaxResults      int
		Containers      struct{ Container []xmlContainer }
		NextMarker      string
	}
	document.ServiceEndpoint, document.Prefix, document.Marker, document.MaxResults = q.endpoint(), q.query.Get("prefix"), q.query.Get("marker"), size
	if next != "" {
		document.NextMarker = markerOf(next)
	}
	for _, c := range page {
		one := xmlContainer{Name: c.Name}
		one.Properties.LastModified, one.Properties.Etag = httpTime(c.Modified), quote(c.ETag)
		one.Properties.LeaseStatus, one.Properties.LeaseState = "unlocked", "available"
		if strings.Contains(q.query.Get("include"), "metadata") {
			metadata := xmlMetadata(c.Metadata)
			one.Metadata = &metadata
		}
		document.Containers.Container = append(document.Containers.Container, one)
	}
	return q.writeXML(document)
}

// createContainer makes a container; as a file system its properties come in one header.
func (s *Server) createContainer(q *request) error {
	metadata, err := q.metadata()
	if q.op.protocol == dfsProtocol {
		metadata, err = q.properties()
	}
	if err != nil {
		return err
	}
	if access := q.header("x-ms-blob-public-access"); access != "" {
		return resource.Errorf(resource.Unsupported, "PublicAccessNotPermitted", "Public access is not permitted on this storage account; assign a role instead.").At("x-ms-blob-public-access")
	}
	if q.container.Key != "" {
		return resource.Conflictf("ContainerAlreadyExists", "The specified container already exists.")
	}
	c, err := s.Catalog.CreateContainer(q.http.Context(), q.account.Name, q.at.container, metadata)
	if resource.KindOf(err) == resource.Conflict {
		return resource.Conflictf("ContainerAlreadyExists", "The specified container already exists.")
	}
	if err != nil {
		return err
	}
	q.writeContainer(c)
	return q.answer(http.StatusCreated)
}

func (q *request) writeContainer(c Container) {
	q.w.Header().Set("ETag", quote(c.ETag))
	q.w.Header().Set("Last-Modified", httpTime(c.Modified))
}

// containerProperties answers with the container's properties and metadata.
func (s *Server) containerProperties(q *request) error {
	h := q.w.Header()
	q.writeContainer(q.container)
	h.Set("x-ms-lease-status", "unlocked")
	h.Set("x-ms-lease-state", "available")
	h.Set("x-ms-has-immutability-policy", "false")
	h.Set("x-ms-has-legal-hold", "false")
	writeMetadata(h, q.container.Metadata)
	return q.answer(http.StatusOK)
}

// containerACL answers that there are no stored access policies and no public access.
func (s *Server) containerACL(q *request) error {
	q.writeContainer(q.container)
	return q.writeXML(struct {
		XMLName xml.Name `xml:"SignedIdentifiers"`
	}{})
}

// setContainerMetadata replaces the container's metadata.
func (s *Server) setContainerMetadata(q *request) error {
	metadata, err := q.metadata()
	if err != nil {
		return err
	}
	return s.replaceContainerMetadata(q, metadata)
}

func (s *Server) replaceContainerMetadata(q *request, metadata map[string]string) error {
	if err := q.containerConditions(); err != nil {
		return err
	}
	c, err := s.Catalog.SetContainerMetadata(q.http.Context(), q.account.Name, q.at.container, metadata)
	if err != nil {
		return err
	}
	q.writeContainer(c)
	return q.answer(http.StatusOK)
}

func (q *request) containerConditions() error {
	c, err := q.conditions("")
	if err != nil {
		return err
	}
	return c.forWrite(&Object{ETag: q.container.ETag, Modified: q.container.Modified})
}

// deleteContainer removes the container, and then its bytes. If the server dies between, the bytes belong to a key
// that is never used again.
func (s *Server) deleteContainer(q *request) error {
	if err := q.containerConditions(); err != nil {
		return err
	}
	if err := s.Catalog.DeleteContainer(q.http.Context(), q.account.Name, q.at.container); err != nil {
		if resource.KindOf(err) == resource.NotFound {
			return errNoContainer()
		}
		return err
	}
	if err := s.Objects.Drop(q.http.Context(), q.container.Key); err != nil {
		return err
	}
	return q.answer(http.StatusAccepted)
}

// accountInfo answers what kind of account this is.
func (s *Server) accountInfo(q *request) error {
	h := q.w.Header()
	h.Set("x-ms-sku-name", "Standard_LRS")
	h.Set("x-ms-account-kind", "StorageV2")
	h.Set("x-ms-is-hns-enabled", "true")
	return q.answer(http.StatusOK)
}

// serviceProperties answers the fixed settings of the service.
func (s *Server) serviceProperties(q *request) error {
	type off struct{ Enabled bool }
	type metrics struct {
		Version         string
		Enabled         bool
		RetentionPolicy off
	}
	plain := metrics{Version: "1.0"}
	return q.writeXML(struct {
		XMLName xml.Name `xml:"StorageServiceProperties"`
		Logging struct {
			Version             string
			Delete, Read, Write bool
			RetentionPolicy     off
		}
		HourMetrics, MinuteMetrics metrics
		Cors                       string
		DefaultServiceVersion      string
		DeleteRetentionPolicy      off
		StaticWebsite              off
	}{HourMetrics: plain, MinuteMetrics: plain, DefaultServiceVersion: defaultVersion})
}
