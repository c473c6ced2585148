// Package wire speaks HTTP with the planes: authenticated requests, errors of every wire as one type, paging and
// long-running operations. It owns no resource type and no command; credentials come in as a function.
package wire

import (
	"encoding/json"
	"encoding/xml"
	"fmt"
	"net/http"
	"strings"

	"github.com/alvara-ml/alvara/cli/document"
)

// Error is a refusal by the server. Code is the wire's own word, Details the faults below it.
type Error struct {
	Status  int // the HTTP status; 0 when a long-running operation failed
	Code    string
	Message string
	Target  string
	Details []*Error
	Cure    []string // what the server says to do about it, such as commands that grant the missing role

	Challenge string    // the header WWW-Authenticate, which says how to sign in
	Answer    *Response // what was answered, as it is; nil unless a request of Client.Do was refused
}

func (e *Error) Error() string {
	var b strings.Builder
	e.write(&b, "")
	return b.String()
}

func (e *Error) write(b *strings.Builder, indent string) {
	if e.Code != "" {
		fmt.Fprintf(b, "(%s) ", e.Code)
	}
	b.WriteString(strings.ReplaceAll(strings.TrimSpace(e.Message), "\r\n", "\n"))
	if e.Target != "" && !strings.Contains(e.Message, e.Target) {
		fmt.Fprintf(b, "\n%sTarget: %s", indent, e.Target)
	}
	for _, detail := range e.Details {
		if detail.Message != "" && strings.Contains(e.Message, detail.Message) && len(detail.Details) == 0 {
			continue // said already
		}
		fmt.Fprintf(b, "\n%s- ", indent)
		detail.write(b, indent+"  ")
	}
	for _, cure := range e.Cure {
		fmt.Fprintf(b, "\n%sTry: %s", indent, cure)
	}
}

// NotFound tells whether the thing asked for is not there.
func (e *Error) NotFound() bool { return e.Status == http.StatusNotFound }

// ReadError makes an Error from a response in any of the planes' shapes: ARM and Graph ({"error":{…}}), OAuth
// ({"error":"…","error_description":"…"}), registry ({"errors":[{…}]}), storage (XML), or plain text.
func ReadError(status int, header http.Header, body []byte) *Error {
	e := &Error{Status: status}
	if object, err := document.DecodeObject(body); err == nil {
		if inner := object.Object("error"); inner != nil {
			e = FromDocument(inner)
			e.Status = status
		} else if code, ok := object.Get("error").(string); ok {
			e.Code, e.Message = code, object.Text("error_description")
		} else if faults := object.Objects("errors"); len(faults) > 0 {
			e = FromDocument(faults[0])
			for _, fault := range faults[1:] {
				e.Details = append(e.Details, FromDocument(fault))
			}
			e.Status = status
		} else {
			e.Code, e.Message = text(object.Fold("code")), text(object.Fold("message"))
		}
	} else {
		var x struct {
			Code    string `xml:"Code"`
			Message string `xml:"Message"`
		}
		if xml.Unmarshal(body, &x) == nil && x.Code != "" {
			e.Code, e.Message = x.Code, x.Message
		} else if len(body) < 2000 && !strings.HasPrefix(strings.TrimSpace(string(body)), "<") {
			e.Message = strings.TrimSpace(string(body))
		}
	}
	e.Challenge = header.Get("WWW-Authenticate")
	if e.Code == "" {
		e.Code = header.Get("x-ms-error-code")
	}
	if e.Message == "" {
		e.Message = fmt.Sprintf("the server answered %d %s", status, http.StatusText(status))
	}
	return e
}

// FromDocument reads the object inside {"error": …}.
func FromDocument(object *document.Object) *Error {
	e := &Error{Code: text(object.Fold("code")), Message: text(object.Fold("message")), Target: text(object.Fold("target"))}
	for _, detail := range object.Objects("details") {
		e.Details = append(e.Details, FromDocument(detail))
	}
	for _, info := range object.Objects("additionalInfo") {
		if strings.EqualFold(info.Text("type"), "Cure") {
			e.Cure = append(e.Cure, cures(info.Get("info"))...)
		}
	}
	return e
}

func cures(value any) []string {
	switch v := value.(type) {
	case string:
		return []string{v}
	case []any:
		var out []string
		for _, element := range v {
			out = append(out, cures(element)...)
		}
		return out
	case *document.Object:
		var out []string
		for _, key := range v.Keys() {
			out = append(out, cures(v.Get(key))...)
		}
		return out
	}
	return nil
}

func text(value any) string {
	switch v := value.(type) {
	case string:
		return v
	case json.Number:
		return v.String()
	}
	return ""
}
