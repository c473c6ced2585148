package blob

import (
	"bytes"
	"crypto/md5" //nolint:gosec // the protocol's checksum, not a proof
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"encoding/xml"
	"errors"
	"hash"
	"hash/crc64"
	"io"
	"net/http"
	"strconv"

	"github.com/alvara-ml/alvara/resource"
)

// crcTable is the polynomial of x-ms-content-crc64.
var crcTable = crc64.MakeTable(0x9A6C9329AC4BC9B5)

func itoa(n int64) string { return strconv.FormatInt(n, 10) }

// answer ends a request that has no body.
func (q *request) answer(status int) error {
	q.answered = true
	if status != http.StatusNoContent {
		q.w.Header().Set("Content-Length", "0")
	}
	q.w.WriteHeader(status)
	return nil
}

// writeXML answers with a document.
func (q *request) writeXML(document any) error {
	body, err := xml.Marshal(document)
	if err != nil {
		return err
	}
	return q.writeBody("application/xml", append([]byte(xml.Header), body...))
}

// writeJSON answers with a document.
func (q *request) writeJSON(document any) error {
	body, err := json.Marshal(document)
	if err != nil {
		return err
	}
	return q.writeBody("application/json;charset=utf-8", body)
}

func (q *request) writeBody(contentType string, body []byte) error {
	h := q.w.Header()
	h.Set("Content-Type", contentType)
	h.Set("Content-Length", strconv.Itoa(len(body)))
	q.answered = true
	q.w.WriteHeader(http.StatusOK)
	if q.http.Method != http.MethodHead {
		_, _ = q.w.Write(body) // the client is gone if this fails
	}
	return nil
}

// length is the length that the client states; the protocol takes no body of unknown length.
func (q *request) length(most int64) (int64, error) {
	n := q.http.ContentLength
	if n < 0 {
		return 0, resource.Errorf(resource.LengthRequired, "MissingContentLengthHeader", "Content-Length is required.").At("Content-Length")
	}
	if n > most {
		return 0, resource.Errorf(resource.TooLarge, "RequestBodyTooLarge", "the body has %d bytes; at most %d are allowed here", n, most)
	}
	return n, nil
}

// readXML reads a small document from the body.
func (q *request) readXML(into any, most int64) error {
	body, err := io.ReadAll(io.LimitReader(q.http.Body, most+1))
	if err != nil {
		return errBody(err)
	}
	if int64(len(body)) > most {
		return resource.Errorf(resource.TooLarge, "RequestBodyTooLarge", "the body has more than %d bytes", most)
	}
	if err := q.checkSums(bytes.NewReader(body)); err != nil {
		return err
	}
	if err := xml.Unmarshal(body, into); err != nil {
		return resource.Invalidf("InvalidXmlDocument", "the body is not the XML document that was expected: %v", err)
	}
	return nil
}

func errBody(err error) error {
	return resource.Invalidf("IncompleteBody", "the body ended before its stated length").Because(err)
}

// sums are the checksums that the client wants to be checked.
type sums struct {
	md5, crc []byte
	hashMD5  hash.Hash
	hashCRC  hash.Hash64
}

func (q *request) sums() (*sums, error) {
	s := &sums{}
	var err error
	if text := q.header("Content-MD5"); text != "" {
		if s.md5, err = base64.StdEncoding.DecodeString(text); err != nil || len(s.md5) != md5.Size {
			return nil, resource.Invalidf("InvalidMd5", "Content-MD5 is %q; expected 16 bytes in base64", text).At("Content-MD5")
		}
		s.hashMD5 = md5.New() //nolint:gosec // as above
	}
	if text := q.header("x-ms-content-crc64"); text != "" {
		if s.crc, err = base64.StdEncoding.DecodeString(text); err != nil || len(s.crc) != 8 {
			return nil, errHeader("x-ms-content-crc64", text, "8 bytes in base64")
		}
		s.hashCRC = crc64.New(crcTable)
	}
	return s, nil
}

// through gives a writer that also computes the sums.
func (s *sums) through(w io.Writer) io.Writer {
	writers := []io.Writer{w}
	if s.hashMD5 != nil {
		writers = append(writers, s.hashMD5)
	}
	if s.hashCRC != nil {
		writers = append(writers, s.hashCRC)
	}
	if len(writers) == 1 {
		return w
	}
	return io.MultiWriter(writers...)
}

func (s *sums) check(h http.Header) error {
	if s.hashMD5 != nil {
		if !bytes.Equal(s.hashMD5.Sum(nil), s.md5) {
			return resource.Invalidf("Md5Mismatch", "The MD5 value specified in the request did not match with the MD5 value calculated by the server.")
		}
		h.Set("Content-MD5", base64.StdEncoding.EncodeToString(s.md5))
	}
	if s.hashCRC != nil {
		if binary.LittleEndian.Uint64(s.crc) != s.hashCRC.Sum64() {
			return resource.Invalidf("Crc64Mismatch", "The CRC64 value specified in the request did not match with the CRC64 value calculated by the server.")
		}
		h.Set("x-ms-content-crc64", base64.StdEncoding.EncodeToString(s.crc))
	}
	return nil
}

func (q *request) checkSums(body io.Reader) error {
	s, err := q.sums()
	if err != nil {
		return err
	}
	if _, err := io.Copy(s.through(io.Discard), body); err != nil {
		return err
	}
	return s.check(q.w.Header())
}

// receive takes the body into a draft, and checks its length and sums. The caller hands the draft over or discards it.
func (s *Server) receive(q *request, most int64) (Draft, *sums, error) {
	n, err := q.length(most)
	if err != nil {
		return nil, nil, err
	}
	checks, err := q.sums()
	if err != nil {
		return nil, nil, err
	}
	draft, err := s.Objects.Draft(q.http.Context())
	if err != nil {
		return nil, nil, err
	}
	body := &bodyReader{from: q.http.Body}
	read, err := io.Copy(checks.through(draft), io.LimitReader(body, n))
	switch {
	case body.err != nil:
		err = errBody(body.err)
	case err == nil && read < n:
		err = errBody(io.ErrUnexpectedEOF)
	case err == nil:
		err = checks.check(q.w.Header())
	}
	if err != nil {
		draft.Discard()
		return nil, nil, err
	}
	return draft, checks, nil
}

// bodyReader remembers the client's fault, so that it is told apart from the medium's.
type bodyReader struct {
	from io.Reader
	err  error
}

func (b *bodyReader) Read(p []byte) (int, error) {
	n, err := b.from.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		b.err = err
	}
	return n, err
}
