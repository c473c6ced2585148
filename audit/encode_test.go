package audit

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func anyRecord(r *rapid.T) Record {
	text := func(name string) string {
		return rapid.OneOf(rapid.String(), rapid.Just(""), rapid.SampledFrom([]string{
			`"`, `\`, "\x00\x1f\n", "\xff", "a\xc3", "\u2028", "ação", "\U0001F600", `","hash":"`, "\ufffd", strings.Repeat("x", 5000),
		}), rapid.Map(rapid.SliceOf(rapid.Byte()), func(b []byte) string { return string(b) })).Draw(r, name)
	}
	return Record{
		Time:      time.Unix(rapid.Int64Range(1, 4e9).Draw(r, "s"), rapid.Int64Range(0, 1e9-1).Draw(r, "ns")).UTC(),
		RequestID: text("requestId"), Plane: text("plane"), Principal: text("principal"), Name: text("name"), Action: text("action"),
		Scope: text("scope"), Target: text("target"), Allowed: rapid.Bool().Draw(r, "allowed"), Assignment: text("assignment"),
		Role: text("role"), Reason: text("reason"), Client: text("client"), Job: text("job"),
	}
}

// valid is the record with what JSON can't hold replaced.
func valid(r Record) Record {
	v := reflect.ValueOf(&r).Elem()
	for i := range v.NumField() {
		if field := v.Field(i); field.Kind() == reflect.String {
			runes := []rune(field.String()) // each bad byte is one U+FFFD
			field.SetString(string(runes))
		}
	}
	return r
}

// TestLine shows that what is written is the JSON of the record, member for member, and is read back whole.
func TestLine(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		record := anyRecord(r)
		prev := Hash{1, 2, 3}
		line, hash := appendLine([]byte("before\n"), 7, prev, appendFields(nil, &record))
		line = line[len("before\n"):]
		if strings.Count(string(line), "\n") != 1 || line[len(line)-1] != '\n' {
			r.Fatalf("not one line: %q", line)
		}
		e, err := parseLine(line[:len(line)-1])
		if err != nil {
			r.Fatalf("%q: %v", line, err)
		}
		if e.Seq != 7 || e.Prev != prev.String() || e.hash != hash || e.Record != valid(record) {
			r.Fatalf("got  %+v\nwant %+v", e, valid(record))
		}
		var got, want map[string]any
		theirs, err := json.Marshal(valid(record))
		if err != nil {
			r.Fatal(err)
		}
		if err := json.Unmarshal(line, &got); err != nil {
			r.Fatal(err)
		}
		_ = json.Unmarshal(theirs, &want)
		want["seq"], want["prev"], want["hash"] = float64(7), prev.String(), hash.String()
		if !reflect.DeepEqual(got, want) {
			r.Fatalf("got  %v\nwant %v", got, want)
		}
	})
}

func FuzzParseLine(f *testing.F) {
	line, _ := appendLine(nil, 1, Hash{}, appendFields(nil, &Record{Plane: "blob", Action: "read", Scope: "/a", Allowed: true}))
	f.Add([]byte(strings.TrimSuffix(string(line), "\n")))
	f.Add([]byte(`{"seq":1}`))
	f.Add([]byte(hashOpens + strings.Repeat("0", 64) + hashCloses))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, line []byte) {
		e, err := parseLine(line)
		if err != nil {
			return
		}
		// Whatever is accepted is accepted as it stands only.
		for _, i := range []int{0, len(line) / 2, len(line) - 1} {
			changed := append([]byte(nil), line...)
			changed[i] ^= 1
			if other, err := parseLine(changed); err == nil {
				t.Errorf("%q and %q are both valid: %+v, %+v", line, changed, e, other)
			}
		}
	})
}
