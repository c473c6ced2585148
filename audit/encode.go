package audit

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"
	"unicode/utf8"
)

// A line of the log is one JSON object:
//
//	{"seq":7,"prev":"<64 hex digits>","time":…,…,"hash":"<64 hex digits>"}
//
// hash is the SHA-256 of the line's bytes before `,"hash"`; prev is the line before's hash. The first line has number 1 and
// a prev of zeros.

// Hash is a place in the chain.
type Hash [sha256.Size]byte

func (h Hash) String() string { return hex.EncodeToString(h[:]) }

const (
	hashOpens  = `,"hash":"`
	hashCloses = `"}`
	hashLength = len(hashOpens) + 2*sha256.Size + len(hashCloses)
)

// entry is a parsed line.
type entry struct {
	Seq  uint64 `json:"seq"`
	Prev string `json:"prev"`
	Record
	hash Hash
}

// appendLine appends the whole line for a record's fields, with its newline, and gives its hash.
func appendLine(to []byte, seq uint64, prev Hash, fields []byte) ([]byte, Hash) {
	start := len(to)
	to = append(to, `{"seq":`...)
	to = strconv.AppendUint(to, seq, 10)
	to = append(to, `,"prev":"`...)
	to = hex.AppendEncode(to, prev[:])
	to = append(to, `",`...)
	to = append(to, fields...)
	hash := Hash(sha256.Sum256(to[start:]))
	to = append(to, hashOpens...)
	to = hex.AppendEncode(to, hash[:])
	to = append(to, hashCloses...)
	return append(to, '\n'), hash
}

// appendFields appends the members of a record, named, ordered and left out as in Record's JSON, without the braces.
func appendFields(to []byte, r *Record) []byte {
	to = append(to, `"time":"`...)
	to = r.Time.UTC().AppendFormat(to, time.RFC3339Nano)
	to = append(to, '"')
	to = appendMember(to, `,"requestId":`, r.RequestID)
	to = appendString(append(to, `,"plane":`...), r.Plane)
	to = appendMember(to, `,"principal":`, r.Principal)
	to = appendMember(to, `,"name":`, r.Name)
	to = appendString(append(to, `,"action":`...), r.Action)
	to = appendString(append(to, `,"scope":`...), r.Scope)
	to = appendMember(to, `,"target":`, r.Target)
	to = append(to, `,"allowed":`...)
	to = strconv.AppendBool(to, r.Allowed)
	to = appendMember(to, `,"assignment":`, r.Assignment)
	to = appendMember(to, `,"role":`, r.Role)
	to = appendMember(to, `,"reason":`, r.Reason)
	to = appendMember(to, `,"client":`, r.Client)
	return appendMember(to, `,"job":`, r.Job)
}

func appendMember(to []byte, name, value string) []byte {
	if value == "" {
		return to
	}
	return appendString(append(to, name...), value)
}

// appendString appends a JSON string; bytes that are not UTF-8 become U+FFFD.
func appendString(to []byte, s string) []byte {
	const digits = "0123456789abcdef"
	to = append(to, '"')
	plain := 0 // what stands before is written
	for i := 0; i < len(s); {
		c := s[i]
		if !special[c] {
			i++
			continue
		}
		if c >= utf8.RuneSelf {
			r, size := utf8.DecodeRuneInString(s[i:])
			if r == utf8.RuneError && size == 1 {
				to = append(append(to, s[plain:i]...), `\ufffd`...)
				plain = i + 1
			}
			i += size
			continue
		}
		to = append(to, s[plain:i]...)
		if c < ' ' {
			to = append(to, '\\', 'u', '0', '0', digits[c>>4], digits[c&15])
		} else {
			to = append(to, '\\', c)
		}
		i++
		plain = i
	}
	return append(append(to, s[plain:]...), '"')
}

// special are the bytes that don't simply stand for themselves in a JSON string.
var special = func() (table [256]bool) {
	for c := range table {
		table[c] = c < ' ' || c == '"' || c == '\\' || c >= utf8.RuneSelf
	}
	return table
}()

// parseLine reads a line, without its newline, and checks it against its own hash.
func parseLine(line []byte) (entry, error) {
	var e entry
	at := len(line) - hashLength
	if at < 0 || !bytes.HasPrefix(line[at:], []byte(hashOpens)) || !bytes.HasSuffix(line, []byte(hashCloses)) {
		return e, errors.New("it does not end with a hash")
	}
	digits := line[at+len(hashOpens) : len(line)-len(hashCloses)]
	if _, err := hex.Decode(e.hash[:], digits); err != nil || e.hash.String() != string(digits) {
		return e, errors.New("its hash is not made of 64 lower-case hexadecimal digits")
	}
	if actual := Hash(sha256.Sum256(line[:at])); actual != e.hash {
		return e, fmt.Errorf("it was changed: its content has the hash %s and it says %s", actual, e.hash)
	}
	if err := json.Unmarshal(line, &e); err != nil {
		return e, fmt.Errorf("it is not a record: %w", err)
	}
	return e, nil
}
