package graph

import (
	"net/url"
	"strings"
	"testing"
)

var probeProperties = map[string]kind{"displayName": text, "mail": text, "accountEnabled": flag, "names": texts}

func probe(property string) any {
	switch property {
	case "displayName":
		return "O'Neil (ops), one"
	case "accountEnabled":
		return true
	case "names":
		return []string{"https://a.example/x:1", "b"}
	}
	return nil
}

func TestFilters(t *testing.T) {
	for source, want := range map[string]bool{
		"displayName eq 'o''neil (OPS), one'":                               true,
		"displayName eq 'other'":                                            false,
		"displayName ne 'other'":                                            true,
		"DisplayName eq 'o''neil (ops), one'":                               true,
		"startswith(displayName,'o''n')":                                    true,
		"startsWith(displayName, 'x')":                                      false,
		"endswith(displayName,'ONE')":                                       true,
		"endswith(mail,'')":                                                 false,
		"mail eq null":                                                      true,
		"mail ne null":                                                      false,
		"mail ne 'x'":                                                       true,
		"displayName eq null":                                               false,
		"displayName in ('x','O''Neil (ops), one')":                         true,
		"displayName in ('x')":                                              false,
		"accountEnabled eq true":                                            true,
		"accountEnabled eq false":                                           false,
		"accountEnabled ne false":                                           true,
		"names/any(c:c eq 'HTTPS://a.example/x:1')":                         true,
		"names/any(x:x eq 'c')":                                             false,
		"names/any(x: startswith(x,'https://A'))":                           true,
		"not names/any(x:x eq 'b')":                                         false,
		"not (mail eq null) or accountEnabled eq true":                      true,
		"mail eq null or mail eq null and accountEnabled eq false":          true,
		"(mail eq null or mail eq null) and accountEnabled eq false":        false,
		"not accountEnabled eq false and startswith(displayName,'o''NEIL')": true,
	} {
		f, err := parseFilter(source, probeProperties)
		if err != nil {
			t.Errorf("%s: %v", source, err)
		} else if got := f.matches(probe); got != want {
			t.Errorf("%s gives %v", source, got)
		}
	}
}

// The whole filter must be one equality before an index answers in its place.
func TestOnlyAPlainEqualityIsAnsweredByAnIndex(t *testing.T) {
	for source, want := range map[string]string{
		"mail eq 'a'": "mail=a", "(mail eq 'a')": "mail=a", "names/any(c:c eq 'b')": "names=b", "mail ne 'a'": "=", "not mail eq 'a'": "=",
		"mail eq 'a' or mail eq 'b'": "=", "mail eq 'a' and accountEnabled eq true": "=", "names/any(c:startswith(c,'b'))": "=", "startswith(mail,'a')": "=", "mail in ('a')": "=",
	} {
		f, err := parseFilter(source, probeProperties)
		if err != nil {
			t.Errorf("%s: %v", source, err)
		} else if got := f.property + "=" + f.equals; got != want {
			t.Errorf("%s is %s", source, got)
		}
	}
}

func TestFiltersThatAreRefused(t *testing.T) {
	for source, part := range map[string]string{
		" ":                              "a property or function was expected",
		"displayName":                    "'eq', 'ne' or 'in'",
		"displayName gt 'a'":             "'eq', 'ne' or 'in'",
		"displayName eq":                 "the end",
		"displayName eq a":               "at 'a'",
		"displayName eq true":            "cannot be asked",
		"accountEnabled eq 'true'":       "cannot be asked",
		"names eq 'b'":                   "cannot be asked",
		"displayName/any(c:c eq 'b')":    "cannot be asked",
		"names/any(c:d eq 'b')":          "the variable 'c'",
		"names/all(c:c eq 'b')":          "'any'",
		"names/any(c:c ne 'b')":          "'eq'",
		"password eq 'x'":                "'password' cannot be filtered",
		"contains(displayName,'x')":      "no function 'contains'",
		"displayName eq 'x":              "has no end",
		"displayName eq 'x' mail eq 'y'": "'and', 'or' or the end",
		"displayName eq 'x' and":         "the end",
		"(displayName eq 'x'":            "')' was expected",
		"displayName in ()":              "string in single quotes",
		"displayName eq \"x\"":           "not understood",
		strings.Repeat("(", 100) + "displayName eq 'x'" + strings.Repeat(")", 100): "nested deeper",
		strings.Repeat("not ", 100) + "displayName eq 'x'":                         "nested deeper",
		"displayName eq '" + strings.Repeat("x", maxFilterBytes) + "'":             "longer than",
	} {
		_, err := parseFilter(source, probeProperties)
		if err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("%.60s: %v", source, err)
		}
	}
	w := newWorld(t)
	r := w.send(w.reader, "GET", "/servicePrincipals?$filter="+url.QueryEscape("homepage eq 'x'"), "")
	r.fails(400, "Request_BadRequest", "servicePrincipalNames/any(c:c eq '…')")
}

// FuzzFilter: reading a filter never fails otherwise than with an error, a filter and its negation never agree, and an
// index may answer only for what the filter accepts.
func FuzzFilter(f *testing.F) {
	for _, seed := range []string{
		"displayName eq 'a'", "names/any(c:c eq 'X')", "startswith(displayName,'x') or not (mail eq null)", "displayName in ('a','b')",
		"accountEnabled ne true and names/any(x:startswith(x,'b'))", "''''", "((", "not not", "names/any(:",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, source string) {
		plain, err := parseFilter(source, probeProperties)
		if err != nil {
			return
		}
		negated, err := parseFilter("not ("+source+")", probeProperties)
		if err == nil && plain.matches(probe) == negated.matches(probe) {
			t.Fatalf("%q and its negation agree", source)
		}
		if plain.property == "" {
			return
		}
		holder := func(property string) any {
			switch {
			case property != plain.property:
				return nil
			case probeProperties[property] == texts:
				return []string{plain.equals}
			}
			return plain.equals
		}
		if !plain.matches(holder) {
			t.Fatalf("%q does not match %s = %q", source, plain.property, plain.equals)
		}
	})
}
