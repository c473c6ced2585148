package azure_test

import (
	"encoding/base64"
	"encoding/xml"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// fake is the part of the Blob protocol that the driver uses, with one container.
type fake struct {
	mu     sync.Mutex
	blobs  map[string]blob
	blocks map[string][]byte
	writes int
	refuse string // when set, every request is refused with this message
	drop   int    // so many successful writes lose their answers
}

type blob struct {
	content  []byte
	etag     string
	modified time.Time
}

const container = "/account/lake/"

func fail(w http.ResponseWriter, r *http.Request, status int, code, message string) {
	w.Header().Set("x-ms-error-code", code)
	w.Header().Set("Content-Type", "application/xml")
	w.WriteHeader(status)
	if r.Method != http.MethodHead {
		fmt.Fprintf(w, "\ufeff<?xml version=\"1.0\" encoding=\"utf-8\"?><Error><Code>%s</Code><Message>%s\nRequestId:1\nTime:2</Message></Error>", code, message)
	}
}

func (f *fake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	query := r.URL.Query()
	name := strings.TrimPrefix(r.URL.Path, container)
	switch {
	case r.Header.Get("Authorization") != "Bearer token":
		fail(w, r, http.StatusUnauthorized, "NoAuthenticationInformation", "Server failed to authenticate the request.")
	case f.refuse != "":
		fail(w, r, http.StatusForbidden, "AuthorizationPermissionMismatch", f.refuse)
	case query.Get("comp") == "list":
		f.list(w, query.Get("prefix"), query.Get("marker"))
	case r.Method == http.MethodPut:
		f.put(w, r, name, query.Get("comp"), query.Get("blockid"))
	case f.blobs[name].etag == "":
		fail(w, r, http.StatusNotFound, "BlobNotFound", "The specified blob does not exist.")
	case r.Method == http.MethodDelete:
		delete(f.blobs, name)
		w.WriteHeader(http.StatusAccepted)
	default:
		f.read(w, r, f.blobs[name])
	}
}

func (f *fake) put(w http.ResponseWriter, r *http.Request, name, comp, id string) {
	content, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	if comp == "block" {
		f.blocks[name+"/"+id] = content
		w.WriteHeader(http.StatusCreated)
		return
	}
	if comp == "blocklist" {
		var list struct {
			Latest []string `xml:"Latest"`
		}
		if err := xml.Unmarshal(content, &list); err != nil {
			fail(w, r, http.StatusBadRequest, "InvalidXmlDocument", err.Error())
			return
		}
		content = nil
		for _, id := range list.Latest {
			if _, err := base64.StdEncoding.DecodeString(id); err != nil {
				fail(w, r, http.StatusBadRequest, "InvalidBlockId", id)
				return
			}
			content = append(content, f.blocks[name+"/"+id]...)
		}
	}
	present := f.blobs[name]
	if r.Header.Get("If-None-Match") == "*" && present.etag != "" {
		fail(w, r, http.StatusConflict, "BlobAlreadyExists", "The specified blob already exists.")
		return
	}
	if want := r.Header.Get("If-Match"); want != "" && want != present.etag {
		fail(w, r, http.StatusPreconditionFailed, "ConditionNotMet", "The condition specified using HTTP conditional header(s) is not met.")
		return
	}
	f.writes++
	stored := blob{content: content, etag: fmt.Sprintf(`"0x%X"`, f.writes), modified: time.Now().UTC().Truncate(time.Second)}
	f.blobs[name] = stored
	if f.drop > 0 {
		f.drop--
		panic(http.ErrAbortHandler)
	}
	w.Header().Set("ETag", stored.etag)
	w.Header().Set("Last-Modified", stored.modified.Format(http.TimeFormat))
	w.WriteHeader(http.StatusCreated)
}

func (f *fake) read(w http.ResponseWriter, r *http.Request, b blob) {
	first, last, status := 0, len(b.content)-1, http.StatusOK
	if text, ok := strings.CutPrefix(r.Header.Get("x-ms-range"), "bytes="); ok {
		from, to, _ := strings.Cut(text, "-")
		first, _ = strconv.Atoi(from)
		if to != "" {
			end, _ := strconv.Atoi(to)
			last = min(last, end)
		}
		if first > last {
			fail(w, r, http.StatusRequestedRangeNotSatisfiable, "InvalidRange", "The range specified is invalid for the current size of the resource.")
			return
		}
		status = http.StatusPartialContent
		w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", first, last, len(b.content)))
	}
	w.Header().Set("ETag", b.etag)
	w.Header().Set("Last-Modified", b.modified.Format(http.TimeFormat))
	w.Header().Set("Content-Length", strconv.Itoa(last-first+1))
	w.WriteHeader(status)
	if r.Method != http.MethodHead {
		w.Write(b.content[first : last+1])
	}
}

// list gives pages of seven, so that the driver must turn them.
func (f *fake) list(w http.ResponseWriter, prefix, marker string) {
	var names []string
	for name := range f.blobs {
		if strings.HasPrefix(name, prefix) && name > marker {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	next := ""
	if len(names) > 7 {
		names = names[:7]
		next = names[6]
	}
	w.Header().Set("Content-Type", "application/xml")
	fmt.Fprint(w, `<?xml version="1.0" encoding="utf-8"?><EnumerationResults ContainerName="lake"><Blobs>`)
	for _, name := range names {
		b := f.blobs[name]
		fmt.Fprint(w, "<Blob><Name>")
		xml.EscapeText(w, []byte(name))
		fmt.Fprintf(w, "</Name><Properties><Last-Modified>%s</Last-Modified><Etag>%s</Etag><Content-Length>%d</Content-Length></Properties></Blob>",
			b.modified.Format(http.TimeFormat), strings.Trim(b.etag, `"`), len(b.content)) // as the service does
	}
	fmt.Fprintf(w, "</Blobs><NextMarker>%s</NextMarker></EnumerationResults>", next)
}
