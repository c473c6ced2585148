package blob

import (
	"cmp"
	"encoding/base64"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/alvara-ml/alvara/resource"
)

// Appended data waits as staged blocks, whose ids hold their positions, until a flush makes them part of the file.
const appendMark = "dfs-append:"

func appendID(position int64) string {
	return base64.StdEncoding.EncodeToString(fmt.Appendf(nil, "%s%020d", appendMark, position))
}

func positionOf(block string) (int64, bool) {
	raw, err := base64.StdEncoding.DecodeString(block)
	if err != nil {
		return 0, false
	}
	digits, ok := strings.CutPrefix(string(raw), appendMark)
	if !ok {
		return 0, false
	}
	n, err := parseInt(digits)
	return n, err == nil && n >= 0
}

func (q *request) position() (int64, error) {
	text := q.query.Get("position")
	if text == "" {
		return 0, errQuery("position", text, "the offset in bytes")
	}
	return parseCount("position", text, errQuery)
}

// appendData keeps the body for a later flush.
func (s *Server) appendData(q *request) error {
	position, err := q.position()
	if err != nil {
		return err
	}
	ctx := q.http.Context()
	o, err := s.Objects.Head(ctx, q.container.Key, q.at.path)
	if err != nil {
		return err
	}
	if isFolder(&o) {
		return errIsDirectory(q.at.path)
	}
	if position < o.Size {
		return resource.Invalidf("InvalidQueryParameterValue", "position is %d, and the file has %d bytes already", position, o.Size).At("position")
	}
	draft, _, err := s.receive(q, MaxBlock)
	if err != nil {
		return err
	}
	end := position + draft.Size()
	if draft.Size() == 0 {
		draft.Discard()
	} else if err := s.Objects.Stage(ctx, q.container.Key, q.at.path, appendID(position), draft); err != nil {
		return err
	}
	if strings.EqualFold(q.query.Get("flush"), "true") {
		if o, err = s.flushTo(q, end); err != nil {
			return err
		}
		writeVersion(q.w.Header(), o)
	}
	q.w.Header().Set("x-ms-request-server-encrypted", "false")
	return q.answer(http.StatusAccepted)
}

// flushData makes what was appended up to a position part of the file.
func (s *Server) flushData(q *request) error {
	position, err := q.position()
	if err != nil {
		return err
	}
	o, err := s.flushTo(q, position)
	return q.changed(o, err)
}

func (s *Server) flushTo(q *request, end int64) (Object, error) {
	ctx := q.http.Context()
	headers, err := q.pathHeaders()
	if err != nil {
		return Object{}, err
	}
	c, err := q.conditions("")
	if err != nil {
		return Object{}, err
	}
	o, err := s.Objects.Head(ctx, q.container.Key, q.at.path)
	if err != nil {
		return Object{}, err
	}
	staged, err := s.Objects.Staged(ctx, q.container.Key, q.at.path)
	if err != nil {
		return Object{}, err
	}
	list := []BlockRef{{From: Present}}
	reached := o.Size
	slices.SortFunc(staged, func(a, b Block) int { // base64 does not keep the order of positions
		at, _ := positionOf(a.ID)
		other, _ := positionOf(b.ID)
		return cmp.Compare(at, other)
	})
	for _, block := range staged {
		if at, ok := positionOf(block.ID); ok && at == reached && reached < end {
			list = append(list, BlockRef{ID: block.ID, From: Uncommitted})
			reached += block.Size
		}
	}
	if reached != end {
		return Object{}, resource.Invalidf("InvalidFlushPosition", "The uploaded data is not contiguous or the position query parameter value "+
			"is not equal to the length of the file after appending the uploaded data: %d bytes are there, the position is %d.", reached, end)
	}
	return s.Objects.PutBlocks(ctx, q.container.Key, q.at.path, list, func(current *Object) (Object, error) {
		switch {
		case current == nil:
			return Object{}, errNoBlob()
		case current.ETag != o.ETag:
			return Object{}, resource.Conflictf("PathConflict", "the file was changed by somebody else while it was flushed")
		case len(current.Blocks)+len(list) > MaxBlocks:
			return Object{}, resource.Conflictf("BlockCountExceedsLimit", "a file has at most %d blocks; append in larger pieces", MaxBlocks)
		}
		next := *current
		next.Headers.ContentMD5 = nil // of what was there before
		next.Headers.replace(headers)
		return next, c.forWrite(current)
	})
}
