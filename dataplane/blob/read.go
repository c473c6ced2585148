package blob

import (
	"crypto/md5" //nolint:gosec // the protocol's checksum
	"encoding/base64"
	"encoding/binary"
	"encoding/xml"
	"hash/crc64"
	"io"
	"net/http"
	"strconv"
	"strings"

	"github.com/alvara-ml/alvara/resource"
)

// span is a range of bytes.
type span struct{ from, length int64 }

// parseRange reads bytes=a-b, bytes=a- and bytes=-n. What is no range is ignored, as HTTP wants it.
func parseRange(text string, size int64) (span, bool, error) {
	spec, ok := strings.CutPrefix(strings.TrimSpace(text), "bytes=")
	first, last, dash := strings.Cut(spec, "-")
	if !ok || !dash || strings.Contains(spec, ",") {
		return span{0, size}, false, nil
	}
	if first == "" {
		n, err := strconv.ParseInt(last, 10, 64)
		if err != nil || n < 0 {
			return span{0, size}, false, nil
		}
		if n == 0 || size == 0 {
			return span{}, false, errRange()
		}
		n = min(n, size)
		return span{size - n, n}, true, nil
	}
	from, err := strconv.ParseInt(first, 10, 64)
	if err != nil || from < 0 {
		return span{0, size}, false, nil
	}
	to := size - 1
	if last != "" {
		if to, err = strconv.ParseInt(last, 10, 64); err != nil || to < from {
			return span{0, size}, false, nil
		}
	}
	if from >= size {
		return span{}, false, errRange()
	}
	to = min(to, size-1)
	return span{from, to - from + 1}, true, nil
}

func errRange() error {
	return resource.Errorf(resource.RangeNotSatisfiable, "InvalidRange", "The range specified is invalid for the current size of the resource.")
}

// getBlob answers with the bytes, or a range of them.
func (s *Server) getBlob(q *request) error {
	c, err := q.conditions("")
	if err != nil {
		return err
	}
	o, reader, err := s.Objects.Open(q.http.Context(), q.container.Key, q.at.path)
	if err != nil {
		return err
	}
	defer reader.Close() //nolint:errcheck // nothing was written
	if err := c.forRead(o); err != nil {
		writeVersion(q.w.Header(), o)
		return err
	}
	asked := q.header("x-ms-range")
	if asked == "" {
		asked = q.header("Range")
	}
	part, ranged, err := parseRange(asked, o.Size)
	if err != nil {
		q.size = o.Size
		return err
	}
	if _, err := reader.Seek(part.from, io.SeekStart); err != nil {
		return err
	}
	q.writeObject(o)
	q.writeProperties(o)
	h := q.w.Header()
	status := http.StatusOK
	var body io.Reader = reader
	if ranged {
		status = http.StatusPartialContent
		h.Set("Content-Range", "bytes "+itoa(part.from)+"-"+itoa(part.from+part.length-1)+"/"+itoa(o.Size))
		if body, err = q.sumRange(h, o, part, reader); err != nil {
			return err
		}
	}
	h.Set("Content-Length", itoa(part.length))
	q.answered = true
	q.w.WriteHeader(status)
	if _, err := io.CopyN(q.w, body, part.length); err != nil && q.http.Context().Err() == nil {
		return err
	}
	return nil
}

// maxSummed is the longest range that sums are computed for.
const maxSummed = 4 << 20

// sumRange computes the sums of a range that the client asks for. Content-MD5 is the range's then, not the blob's.
func (q *request) sumRange(h http.Header, o Object, part span, reader io.Reader) (io.Reader, error) {
	h.Del("Content-MD5")
	if o.Headers.ContentMD5 != nil {
		h.Set("x-ms-blob-content-md5", base64.StdEncoding.EncodeToString(o.Headers.ContentMD5))
	}
	wantMD5 := strings.EqualFold(q.header("x-ms-range-get-content-md5"), "true")
	wantCRC := strings.EqualFold(q.header("x-ms-range-get-content-crc64"), "true")
	if !wantMD5 && !wantCRC {
		return reader, nil
	}
	if part.length > maxSummed {
		return nil, errHeader("x-ms-range", q.header("x-ms-range"), "a range of at most 4 MiB when its checksum is asked for")
	}
	body := make([]byte, part.length)
	if _, err := io.ReadFull(reader, body); err != nil {
		return nil, err
	}
	if wantMD5 {
		sum := md5.Sum(body) //nolint:gosec // as above
		h.Set("Content-MD5", base64.StdEncoding.EncodeToString(sum[:]))
	}
	if wantCRC {
		sum := binary.LittleEndian.AppendUint64(nil, crc64.Checksum(body, crcTable))
		h.Set("x-ms-content-crc64", base64.StdEncoding.EncodeToString(sum))
	}
	return strings.NewReader(string(body)), nil
}

// headBlob answers with the properties.
func (s *Server) headBlob(q *request) error {
	c, err := q.conditions("")
	if err != nil {
		return err
	}
	o, err := s.Objects.Head(q.http.Context(), q.container.Key, q.at.path)
	if q.plane == planeDFS && resource.KindOf(err) == resource.NotFound {
		o, err = s.stat(q.http.Context(), q.container, q.at.path)
	}
	if err != nil {
		return err
	}
	if err := c.forRead(o); err != nil {
		writeVersion(q.w.Header(), o)
		return err
	}
	q.writeObject(o)
	q.writeProperties(o)
	if q.query.Get("comp") == "metadata" {
		return q.answer(http.StatusOK)
	}
	q.answered = true
	q.w.Header().Set("Content-Length", itoa(o.Size))
	q.w.WriteHeader(http.StatusOK)
	return nil
}

// getBlockList answers with the blocks of a blob.
func (s *Server) getBlockList(q *request) error {
	which := strings.ToLower(q.query.Get("blocklisttype"))
	if which == "" {
		which = "committed"
	}
	if which != "committed" && which != "uncommitted" && which != "all" {
		return errQuery("blocklisttype", which, "committed, uncommitted or all")
	}
	ctx := q.http.Context()
	staged, err := s.Objects.Staged(ctx, q.container.Key, q.at.path)
	if err != nil {
		return err
	}
	o, err := s.Objects.Head(ctx, q.container.Key, q.at.path)
	if err != nil && (resource.KindOf(err) != resource.NotFound || len(staged) == 0) {
		return err
	}
	if o.Kind == AppendBlob {
		return resource.Conflictf("InvalidBlobType", "The blob type is invalid for this operation: it is an AppendBlob.")
	}
	type block struct {
		Name string
		Size int64
	}
	type list struct {
		Block []block
	}
	var document struct {
		XMLName           xml.Name `xml:"BlockList"`
		CommittedBlocks   *list
		UncommittedBlocks *list
	}
	convert := func(blocks []Block) *list {
		out := &list{}
		for _, b := range blocks {
			if b.ID == "" {
				continue // put in one piece, before something was appended
			}
			out.Block = append(out.Block, block{b.ID, b.Size})
		}
		return out
	}
	if which != "uncommitted" {
		document.CommittedBlocks = convert(o.Blocks)
	}
	if which != "committed" {
		document.UncommittedBlocks = convert(staged)
	}
	if o.Name != "" {
		writeVersion(q.w.Header(), o)
		q.w.Header().Set("x-ms-blob-content-length", itoa(o.Size))
	}
	return q.writeXML(document)
}
