package blob

import (
	"encoding/base64"
	"encoding/xml"
	"io"
	"net/http"
	"strconv"

	"github.com/alvara-ml/alvara/resource"
)

func parseInt(text string) (int64, error) { return strconv.ParseInt(text, 10, 64) }

// blockID reads and checks the query parameter blockid.
func (q *request) blockID() (string, error) {
	id := q.query.Get("blockid")
	return id, checkBlockID(id)
}

func checkBlockID(id string) error {
	raw, err := base64.StdEncoding.DecodeString(id)
	if err != nil || len(raw) == 0 || len(raw) > 64 {
		return resource.Invalidf("InvalidQueryParameterValue", "the block id %q must be base64 of 1 to 64 bytes", id).At("blockid")
	}
	return nil
}

// putBlock stages the body as a block.
func (s *Server) putBlock(q *request) error {
	id, err := q.blockID()
	if err != nil {
		return err
	}
	draft, _, err := s.receive(q, MaxBlock)
	if err != nil {
		return err
	}
	return s.stage(q, id, draft)
}

func (s *Server) stage(q *request, id string, draft Draft) error {
	if err := s.Objects.Stage(q.http.Context(), q.container.Key, q.at.path, id, draft); err != nil {
		return err
	}
	q.w.Header().Set("x-ms-request-server-encrypted", "false")
	return q.answer(http.StatusCreated)
}

// putBlockFromURL stages a range of another blob of this server as a block.
func (s *Server) putBlockFromURL(q *request) error {
	id, err := q.blockID()
	if err != nil {
		return err
	}
	_, reader, part, err := s.openSource(q)
	if err != nil {
		return err
	}
	defer reader.Close() //nolint:errcheck // nothing was written
	if part.length > MaxBlock {
		return resource.Errorf(resource.TooLarge, "RequestBodyTooLarge", "the source has %d bytes; a block has at most %d", part.length, int64(MaxBlock))
	}
	draft, err := s.Objects.Draft(q.http.Context())
	if err != nil {
		return err
	}
	if _, err := io.CopyN(draft, reader, part.length); err != nil {
		draft.Discard()
		return err
	}
	return s.stage(q, id, draft)
}

// blockList is the body of Put Block List: the order of its elements counts, whatever their names.
type blockList []BlockRef

// UnmarshalXML reads the elements in their order.
func (l *blockList) UnmarshalXML(d *xml.Decoder, start xml.StartElement) error {
	if start.Name.Local != "BlockList" {
		return resource.Invalidf("InvalidXmlDocument", "the body is a <%s>; expected a <BlockList>", start.Name.Local)
	}
	sources := map[string]BlockSource{"Latest": Latest, "Committed": Committed, "Uncommitted": Uncommitted}
	for {
		token, err := d.Token()
		if err != nil {
			return err
		}
		switch t := token.(type) {
		case xml.EndElement:
			return nil
		case xml.StartElement:
			from, ok := sources[t.Name.Local]
			if !ok {
				return resource.Invalidf("InvalidXmlDocument", "<%s> is none of <Latest>, <Committed> and <Uncommitted>", t.Name.Local)
			}
			var id string
			if err := d.DecodeElement(&id, &t); err != nil {
				return err
			}
			if err := checkBlockID(id); err != nil {
				return resource.Invalidf("InvalidBlockId", "the block id %q must be base64 of 1 to 64 bytes", id)
			}
			*l = append(*l, BlockRef{ID: id, From: from})
		}
	}
}

// putBlockList makes the blob out of blocks.
func (s *Server) putBlockList(q *request) error {
	metadata, headers, c, tier, err := q.described(false)
	if err != nil {
		return err
	}
	var list blockList
	if err := q.readXML(&list, maxBlockList); err != nil {
		return err
	}
	if len(list) > MaxBlocks {
		return resource.Invalidf("BlockListTooLong", "the list names %d blocks; at most %d are allowed", len(list), MaxBlocks)
	}
	o, err := s.Objects.PutBlocks(q.http.Context(), q.container.Key, q.at.path, list, func(current *Object) (Object, error) {
		return Object{Kind: BlockBlob, Headers: headers, Metadata: metadata, Tier: tier}, q.mayWrite(c, current)
	})
	if err != nil {
		return err
	}
	writeVersion(q.w.Header(), o)
	return q.answer(http.StatusCreated)
}
