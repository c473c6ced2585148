package blob

import (
	"net/http"
	"strings"

	"github.com/alvara-ml/alvara/resource"
)

// described reads what every operation that makes a whole blob is told besides its bytes. plain is as in blobHeaders.
func (q *request) described(plain bool) (metadata map[string]string, headers Headers, c conditions, tier string, err error) {
	if metadata, err = q.metadata(); err != nil {
		return
	}
	if headers, err = q.blobHeaders(plain); err != nil {
		return
	}
	if c, err = q.conditions(""); err != nil {
		return
	}
	tier, err = q.tier()
	return
}

// putBlob makes a blob of the body.
func (s *Server) putBlob(q *request) error {
	kind := Kind(q.header("x-ms-blob-type"))
	if kind != BlockBlob && kind != AppendBlob {
		return resource.Errorf(resource.Unsupported, "UnsupportedBlobType", "the blob type %q is not offered; BlockBlob and AppendBlob are", kind).At("x-ms-blob-type")
	}
	metadata, headers, c, tier, err := q.described(true)
	if err != nil {
		return err
	}
	most := int64(MaxPut)
	if kind == AppendBlob {
		most = 0
	}
	draft, _, err := s.receive(q, most)
	if err != nil {
		return err
	}
	o, err := s.Objects.Put(q.http.Context(), q.container.Key, q.at.path, draft, func(current *Object) (Object, error) {
		return Object{Kind: kind, Headers: headers, Metadata: metadata, Tier: tier}, q.mayWrite(c, current)
	})
	return q.written(o, err)
}

// written answers a write.
func (q *request) written(o Object, err error) error {
	if err != nil {
		return err
	}
	writeVersion(q.w.Header(), o)
	q.w.Header().Set("x-ms-request-server-encrypted", "false")
	return q.answer(http.StatusCreated)
}

// changed answers a write that Azure answers with 200.
func (q *request) changed(o Object, err error) error {
	if err != nil {
		return err
	}
	writeVersion(q.w.Header(), o)
	return q.answer(http.StatusOK)
}

func (q *request) tier() (string, error) {
	tier := q.header("x-ms-access-tier")
	for _, known := range []string{"Hot", "Cool", "Cold"} {
		if strings.EqualFold(tier, known) {
			return known, nil
		}
	}
	if tier != "" {
		return "", errHeader("x-ms-access-tier", tier, "Hot, Cool or Cold; there is no offline tier here")
	}
	return "", nil
}

// appendBlock adds the body at the end of an append blob.
func (s *Server) appendBlock(q *request) error {
	c, err := q.conditions("")
	if err != nil {
		return err
	}
	at, most, err := q.appendConditions()
	if err != nil {
		return err
	}
	draft, _, err := s.receive(q, MaxAppend)
	if err != nil {
		return err
	}
	size := draft.Size()
	var offset int64
	o, err := s.Objects.Append(q.http.Context(), q.container.Key, q.at.path, draft, func(current *Object) (Object, error) {
		if current == nil {
			return Object{}, errNoBlob()
		}
		if err := c.forWrite(current); err != nil {
			return Object{}, err
		}
		offset = current.Size
		switch {
		case current.Kind != AppendBlob:
			return Object{}, resource.Conflictf("InvalidBlobType", "The blob type is invalid for this operation: it is a %s.", current.Kind)
		case at >= 0 && at != offset:
			return Object{}, resource.Errorf(resource.PreconditionFailed, "AppendPositionConditionNotMet", "The append position condition specified was not met: the blob has %d bytes.", offset)
		case most >= 0 && offset+size > most:
			return Object{}, resource.Errorf(resource.PreconditionFailed, "MaxBlobSizeConditionNotMet", "The max blob size condition specified was not met: the blob has %d bytes.", offset)
		case len(current.Blocks) >= MaxBlocks:
			return Object{}, resource.Conflictf("BlockCountExceedsLimit", "The committed block count cannot exceed the maximum limit of %d blocks.", MaxBlocks)
		}
		return *current, nil
	})
	if err == nil {
		q.w.Header().Set("x-ms-blob-append-offset", itoa(offset))
		q.w.Header().Set("x-ms-blob-committed-block-count", itoa(int64(len(o.Blocks))))
	}
	return q.written(o, err)
}

// appendConditions reads where an append must land and how long the blob may become; -1 stands for no condition.
func (q *request) appendConditions() (at, most int64, err error) {
	if at, err = q.number("x-ms-blob-condition-appendpos"); err != nil {
		return
	}
	most, err = q.number("x-ms-blob-condition-maxsize")
	return
}

// setMetadata replaces the metadata.
func (s *Server) setMetadata(q *request) error {
	metadata, err := q.metadata()
	if err != nil {
		return err
	}
	return s.update(q, func(o *Object) {
		if isFolder(o) {
			metadata[folderMark] = "true"
		}
		o.Metadata = metadata
	})
}

// setProperties replaces the HTTP headers that are kept with the blob.
func (s *Server) setProperties(q *request) error {
	headers, err := q.blobHeaders(false)
	if err != nil {
		return err
	}
	if q.header("x-ms-blob-content-length") != "" || q.header("x-ms-sequence-number-action") != "" {
		return resource.Errorf(resource.Unsupported, "UnsupportedHeader", "x-ms-blob-content-length and x-ms-sequence-number-action are for page blobs, which are not offered")
	}
	return s.update(q, func(o *Object) { o.Headers = headers })
}

// setTier notes the tier. All tiers are served alike.
func (s *Server) setTier(q *request) error {
	tier, err := q.tier()
	if err != nil {
		return err
	}
	if tier == "" {
		return errHeader("x-ms-access-tier", "", "Hot, Cool or Cold")
	}
	return s.update(q, func(o *Object) { o.Tier = tier })
}

// update changes what is known about a blob under the request's conditions.
func (s *Server) update(q *request, change func(*Object)) error {
	c, err := q.conditions("")
	if err != nil {
		return err
	}
	return q.changed(s.Objects.Update(q.http.Context(), q.container.Key, q.at.path, func(current *Object) (Object, error) {
		if current == nil {
			return Object{}, errNoBlob()
		}
		if err := q.mayWrite(c, current); err != nil {
			return Object{}, err
		}
		o := *current
		change(&o)
		return o, nil
	}))
}

// deleteBlob removes a blob.
func (s *Server) deleteBlob(q *request) error {
	c, err := q.conditions("")
	if err != nil {
		return err
	}
	if q.header("x-ms-delete-snapshots") == "only" {
		return resource.Errorf(resource.Unsupported, "UnsupportedHeader", "there are no snapshots to delete")
	}
	err = s.Objects.Delete(q.http.Context(), q.container.Key, q.at.path, func(current *Object) (Object, error) {
		if current == nil {
			return Object{}, errNoBlob()
		}
		return *current, c.forWrite(current)
	})
	if err != nil {
		return err
	}
	q.w.Header().Set("x-ms-delete-type-permanent", "true")
	return q.answer(http.StatusAccepted)
}

// number reads a header that holds a count; -1 when it is absent.
func (q *request) number(name string) (int64, error) {
	return parseCount(name, q.header(name), errHeader)
}

func parseCount(name, text string, fault func(name, value, want string) error) (int64, error) {
	if text == "" {
		return -1, nil
	}
	n, err := parseInt(text)
	if err != nil || n < 0 {
		return 0, fault(name, text, "a number that is not negative")
	}
	return n, nil
}
