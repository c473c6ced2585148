package blob

import (
	"net/http"
	"strings"
	"time"

	"github.com/alvara-ml/alvara/resource"
)

// conditions are the conditional headers of a request, or those on the source of a copy.
type conditions struct {
	match, noneMatch          []string // ETags without quotes, or "*"
	modifiedSince, unmodified time.Time
}

// conditions reads the headers If-Match, If-None-Match, If-Modified-Since and If-Unmodified-Since, each with a prefix.
func (q *request) conditions(prefix string) (conditions, error) {
	c := conditions{match: etags(q.header(prefix + "If-Match")), noneMatch: etags(q.header(prefix + "If-None-Match"))}
	var err error
	if c.modifiedSince, err = q.time(prefix + "If-Modified-Since"); err != nil {
		return c, err
	}
	c.unmodified, err = q.time(prefix + "If-Unmodified-Since")
	return c, err
}

func (q *request) time(name string) (time.Time, error) {
	text := q.header(name)
	if text == "" {
		return time.Time{}, nil
	}
	t, err := http.ParseTime(text)
	if err != nil {
		return t, errHeader(name, text, "a date such as "+http.TimeFormat)
	}
	return t, nil
}

func etags(header string) []string {
	var out []string
	for part := range strings.SplitSeq(header, ",") {
		part = strings.TrimPrefix(strings.TrimSpace(part), "W/")
		if part = strings.Trim(part, `"`); part != "" {
			out = append(out, part)
		}
	}
	return out
}

func among(list []string, etag string) bool {
	for _, one := range list {
		if one == "*" || one == etag {
			return true
		}
	}
	return false
}

// forRead decides whether an object may be read: nil, PreconditionFailed, or NotModified.
func (c conditions) forRead(o Object) error {
	modified := o.Modified.Truncate(time.Second) // dates in headers have no fractions
	switch {
	case c.match != nil && !among(c.match, o.ETag):
		return errCondition()
	case !c.unmodified.IsZero() && modified.After(c.unmodified):
		return errCondition()
	case c.noneMatch != nil && among(c.noneMatch, o.ETag),
		c.noneMatch == nil && !c.modifiedSince.IsZero() && !modified.After(c.modifiedSince):
		return resource.Errorf(resource.NotModified, "ConditionNotMet", "The condition specified using HTTP conditional header(s) is not met.")
	}
	return nil
}

// forWrite decides whether a write may go on over what is there now.
func (c conditions) forWrite(current *Object) error {
	if current == nil {
		if c.match != nil {
			return errCondition()
		}
		return nil
	}
	if len(c.noneMatch) == 1 && c.noneMatch[0] == "*" {
		return errExists()
	}
	err := c.forRead(*current)
	if resource.KindOf(err) == resource.NotModified && err != nil {
		return errCondition()
	}
	return err
}

// mayWrite is what every Decide function asks first.
func (q *request) mayWrite(c conditions, current *Object) error {
	if err := c.forWrite(current); err != nil {
		return err
	}
	if q.createOnly && current != nil {
		return resource.Forbiddenf("UnauthorizedBlobOverwrite", "This request is not authorized to perform blob overwrites: "+
			"the SAS lets its holder create new blobs only.")
	}
	return nil
}
