package blob

import (
	"crypto/md5" //nolint:gosec // for its size
	"encoding/base64"
	"net/http"
	"strconv"
	"strings"

	"github.com/alvara-ml/alvara/resource"
)

// folderMark is the metadata that makes an empty blob stand for a directory, in both protocols.
const folderMark = "hdi_isfolder"

func isFolder(o *Object) bool { return o != nil && strings.EqualFold(o.Metadata[folderMark], "true") }

// metadata reads the x-ms-meta headers. Names are kept in lower case: header names have no case that could be kept.
func (q *request) metadata() (map[string]string, error) {
	out := map[string]string{}
	total := 0
	for name, values := range q.http.Header {
		key, ok := strings.CutPrefix(strings.ToLower(name), "x-ms-meta-")
		if !ok {
			continue
		}
		out[key] = strings.Join(values, ",")
		total += len(key) + len(out[key])
	}
	return out, checkMetadata(out, total)
}

func checkMetadata(metadata map[string]string, total int) error {
	for name := range metadata {
		good := name != "" && (name[0] < '0' || name[0] > '9') && !strings.ContainsFunc(name, func(r rune) bool {
			return r != '_' && (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z')
		})
		if !good {
			return resource.Invalidf("InvalidMetadata", "the metadata name %q must have letters, digits and underscores only, and not begin with a digit", name)
		}
	}
	if total > maxMetadata {
		return resource.Invalidf("MetadataTooLarge", "the metadata has %d bytes; at most %d are allowed", total, maxMetadata)
	}
	return nil
}

// blobHeaders reads the headers that are kept with a blob; plain is for those that Put Blob also takes unprefixed.
func (q *request) blobHeaders(plain bool) (Headers, error) {
	get := func(name string) string {
		if value := q.header("x-ms-blob-" + name); value != "" || !plain {
			return value
		}
		return q.header(name)
	}
	h := Headers{
		ContentType: get("Content-Type"), ContentEncoding: get("Content-Encoding"), ContentLanguage: get("Content-Language"),
		ContentDisposition: q.header("x-ms-blob-content-disposition"), CacheControl: get("Cache-Control"),
	}
	if text := get("Content-MD5"); text != "" {
		sum, err := base64.StdEncoding.DecodeString(text)
		if err != nil || len(sum) != md5.Size {
			return h, resource.Invalidf("InvalidMd5", "the MD5 value %q is not 16 bytes in base64", text)
		}
		h.ContentMD5 = sum
	}
	return h, nil
}

func quote(etag string) string { return `"` + etag + `"` }

// writeVersion sets the headers that name a version.
func writeVersion(h http.Header, o Object) {
	h.Set("ETag", quote(o.ETag))
	h.Set("Last-Modified", httpTime(o.Modified))
}

// writeObject sets the headers of a blob's properties.
func (q *request) writeObject(o Object) {
	h := q.w.Header()
	writeVersion(h, o)
	h.Set("Accept-Ranges", "bytes")
	h.Set("x-ms-creation-time", httpTime(o.Created))
	h.Set("x-ms-blob-type", string(o.Kind))
	h.Set("x-ms-lease-status", "unlocked")
	h.Set("x-ms-lease-state", "available")
	h.Set("x-ms-server-encrypted", "false")
	h.Set("x-ms-access-tier", o.tier())
	if o.Tier == "" {
		h.Set("x-ms-access-tier-inferred", "true")
	}
	set := func(name, value string) {
		if value != "" {
			h.Set(name, value)
		}
	}
	h.Set("Content-Type", o.contentType())
	set("Content-Encoding", o.Headers.ContentEncoding)
	set("Content-Language", o.Headers.ContentLanguage)
	set("Content-Disposition", o.Headers.ContentDisposition)
	set("Cache-Control", o.Headers.CacheControl)
	if o.Headers.ContentMD5 != nil {
		h.Set("Content-MD5", base64.StdEncoding.EncodeToString(o.Headers.ContentMD5))
	}
	if o.Kind == AppendBlob {
		h.Set("x-ms-blob-committed-block-count", strconv.Itoa(len(o.Blocks)))
	}
	h.Set("x-ms-resource-type", o.resourceType())
	if c := o.Copied; c != nil {
		h.Set("x-ms-copy-id", c.ID)
		h.Set("x-ms-copy-source", c.Source)
		h.Set("x-ms-copy-status", "success")
		h.Set("x-ms-copy-progress", itoa(o.Size)+"/"+itoa(o.Size))
		h.Set("x-ms-copy-completion-time", httpTime(c.At))
	}
	writeMetadata(h, o.Metadata)
	if q.who.grant != nil {
		q.who.grant.applyOverrides(h)
	}
}

// writeMetadata sets the x-ms-meta headers, in lower case on the wire too: clients compare what they find there.
func writeMetadata(h http.Header, metadata map[string]string) {
	for name, value := range metadata {
		h["x-ms-meta-"+name] = []string{value}
	}
}

func (o Object) contentType() string {
	if o.Headers.ContentType == "" {
		return "application/octet-stream"
	}
	return o.Headers.ContentType
}

func (o Object) tier() string {
	if o.Tier == "" {
		return "Hot"
	}
	return o.Tier
}

func (o Object) resourceType() string {
	if isFolder(&o) {
		return "directory"
	}
	return "file"
}
