package blob

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/alvara-ml/alvara/resource"
)

// sasQuery is the query of a URL that may hold a shared access signature.
type sasQuery struct{ values url.Values }

func sasOf(query url.Values) sasQuery { return sasQuery{query} }

func (s sasQuery) signed() bool { return s.values.Has("sig") }

func (s sasQuery) get(name string) string { return s.values.Get(name) }

// The versions of the signature that added lines to what is signed.
const (
	sasOldest    = "2018-11-09"
	sasScope     = "2020-12-06" // ses
	sasIDs       = "2020-02-10" // saoid, suoid, scid
	sasRecipient = "2025-07-05" // skdutid, sduoid
)

func errSAS(format string, args ...any) error {
	e := resource.Forbiddenf("AuthenticationFailed", format, args...)
	e.Message = "Server failed to authenticate the request: " + e.Message
	return e
}

// identifySAS checks a signature and gives the subject that it stands for.
func (s *Server) identifySAS(ctx context.Context, q *request, account Account, host, authorization string, sas sasQuery, at address) (subject, error) {
	for _, values := range sas.values {
		for _, value := range values {
			if strings.ContainsAny(value, "\n\r") {
				return subject{}, errSAS("a query parameter holds a line break")
			}
		}
	}
	if sv := sas.get("sv"); !isDate(sv) || sv < sasOldest {
		return subject{}, errSAS("sv is %q; signatures of version %s and later are taken", sv, sasOldest)
	}
	if err := s.checkTerms(q, sas); err != nil {
		return subject{}, err
	}
	g := &grant{account: account.ID, permissions: sas.get("sp"), kind: sas.get("sr"), container: at.container, overrides: sas.values}
	if sas.values.Has("ss") || sas.values.Has("srt") {
		return s.identifyAccountSAS(account, sas, g)
	}
	switch g.kind {
	case "b":
		g.path = at.path
	case "c":
	case "d":
		var err error
		if g.path, err = directoryAt(at.path, sas.get("sdd")); err != nil {
			return subject{}, err
		}
	default:
		return subject{}, errSAS("sr is %q; b, c and d are offered", g.kind)
	}
	if sas.get("skoid") == "" {
		return identifyServiceSAS(account, sas, g)
	}
	return s.identifyDelegate(ctx, account, host, authorization, sas, g)
}

// directoryAt gives the first segments of a path, as many as a directory SAS is deep.
func directoryAt(path, depth string) (string, error) {
	n, err := strconv.Atoi(depth)
	if err != nil || n < 0 {
		return "", errSAS("sdd is %q; expected the number of segments of the directory", depth)
	}
	segments := strings.Split(strings.Trim(path, "/"), "/")
	if n > len(segments) {
		return "", errSAS("the path does not lie in the directory that was signed")
	}
	return strings.Join(segments[:n], "/"), nil
}

// checkTerms checks when, from where and how the signature may be used.
func (s *Server) checkTerms(q *request, sas sasQuery) error {
	now := s.Clock()
	expiry, err := sasTime(sas.get("se"))
	if err != nil {
		return errSAS("se is %q; expected a time such as 2030-01-31T12:00:00Z", sas.get("se"))
	}
	if !now.Before(expiry) {
		return errSAS("the signature expired at %s", sas.get("se"))
	}
	if st := sas.get("st"); st != "" {
		start, err := sasTime(st)
		if err != nil {
			return errSAS("st is %q; expected a time such as 2030-01-31T12:00:00Z", st)
		}
		if now.Before(start) {
			return errSAS("the signature is not valid before %s", st)
		}
	}
	switch spr := sas.get("spr"); spr {
	case "", "https,http":
	case "https":
		if q.http.TLS == nil {
			return errSAS("the signature allows https only")
		}
	default:
		return errSAS("spr is %q; https or https,http are taken", spr)
	}
	if sip := sas.get("sip"); sip != "" && !addressIn(q.client(), sip) {
		return resource.Forbiddenf("AuthorizationSourceIPMismatch", "This request is not authorized to perform this operation "+
			"using this source IP %s.", q.client())
	}
	return nil
}

func addressIn(client, allowed string) bool {
	addr, err := netip.ParseAddr(client)
	if err != nil {
		return false
	}
	from, to, ranged := strings.Cut(allowed, "-")
	if !ranged {
		to = from
	}
	low, err1 := netip.ParseAddr(from)
	high, err2 := netip.ParseAddr(to)
	if err1 != nil || err2 != nil || low.Is4() != high.Is4() {
		return false
	}
	addr = addr.Unmap()
	return addr.Is4() == low.Is4() && addr.Compare(low) >= 0 && addr.Compare(high) <= 0
}

// identifyDelegate checks a signature that was made with a user delegation key.
func (s *Server) identifyDelegate(ctx context.Context, account Account, host, authorization string, sas sasQuery, g *grant) (subject, error) {
	if !s.delegates() {
		return subject{}, errSAS("user delegation is not offered")
	}
	start, err1 := sasTime(sas.get("skt"))
	expiry, err2 := sasTime(sas.get("ske"))
	if now := s.Clock(); err1 != nil || err2 != nil || now.Before(start) || !now.Before(expiry) {
		return subject{}, errSAS("the user delegation key holds from skt %q to ske %q, and that is not now", sas.get("skt"), sas.get("ske"))
	}
	key := s.delegationKeyFor(account, sas.get("skoid"), sas.get("sktid"), start, expiry, sas.get("sks"), sas.get("skv"), sas.get("skdutid"))
	names := []string{account.Name}
	if first, _, ok := strings.Cut(host, "."); ok && first != account.Name {
		// Clients take the first label of the host for the account's name, even of an IP address. The key is
		// the account's own, so that what they signed cannot be used on another one.
		names = append(names, first)
	}
	if !slices.ContainsFunc(delegateTexts(sas, g, names), func(text string) bool { return signedBy(key, text, sas.get("sig")) }) {
		return subject{}, errSAS("the signature does not match")
	}
	if sas.get("sks") != "b" || sas.get("suoid") != "" || sas.values.Has("srh") || sas.values.Has("srq") {
		return subject{}, errSAS("suoid, srh and srq are not offered, and sks must be b")
	}
	principal, ok := s.Lookup(sas.get("skoid"))
	if !ok || (sas.get("sktid") != "" && !strings.EqualFold(principal.TenantID, sas.get("sktid"))) {
		return subject{}, errSAS("the principal that signed does not exist any more")
	}
	if only := sas.get("sduoid"); only != "" {
		scheme, token, _ := strings.Cut(authorization, " ")
		if !strings.EqualFold(scheme, "Bearer") {
			return subject{}, errSAS("the signature holds for one user only; send that user's token too")
		}
		user, err := s.Authenticator.Authenticate(ctx, strings.TrimSpace(token), Audience)
		if err != nil {
			return subject{}, err
		}
		if !strings.EqualFold(user.ID, only) {
			return subject{}, errSAS("the signature holds for another user")
		}
	}
	return subject{principal: principal, grant: g}, nil
}

// delegateTexts gives the texts that a client may have signed.
func delegateTexts(sas sasQuery, g *grant, accounts []string) []string {
	sv := sas.get("sv")
	var out []string
	for _, account := range accounts {
		text := []string{sas.get("sp"), sas.get("st"), sas.get("se"), canonicalName(account, g)}
		text = append(text, sas.all("skoid", "sktid", "skt", "ske", "sks", "skv")...)
		if sv >= sasIDs {
			text = append(text, sas.all("saoid", "suoid", "scid")...)
		}
		if sv >= sasRecipient {
			text = append(text, sas.all("skdutid", "sduoid")...)
		}
		text = append(text, sas.all("sip", "spr", "sv", "sr")...)
		text = append(text, "") // the snapshot's time
		if sv >= sasScope {
			text = append(text, sas.get("ses"))
		}
		overrides := sas.all("rscc", "rscd", "rsce", "rscl", "rsct")
		out = append(out, strings.Join(append(slices.Clone(text), overrides...), "\n"))
		if sv >= sasRecipient {
			// Later versions sign two more lines, the headers and the query that are bound, which are empty here.
			out = append(out, strings.Join(append(append(slices.Clone(text), "", ""), overrides...), "\n"))
		}
	}
	return out
}

func (s sasQuery) all(names ...string) []string {
	out := make([]string, len(names))
	for i, name := range names {
		out[i] = s.get(name)
	}
	return out
}

func canonicalName(account string, g *grant) string {
	name := "/blob/" + account + "/" + g.container
	if g.path != "" {
		name += "/" + g.path
	}
	return name
}

// identifyServiceSAS checks a signature on a container or blob that was made with an account key.
func identifyServiceSAS(account Account, sas sasQuery, g *grant) (subject, error) {
	if sas.get("si") != "" {
		return subject{}, errSAS("stored access policies are not offered")
	}
	return byAccountKey(account, serviceText(account.Name, sas, g), sas.get("sig"), g)
}

// identifyAccountSAS checks a signature on the whole account.
func (s *Server) identifyAccountSAS(account Account, sas sasQuery, g *grant) (subject, error) {
	g.kind, g.types = "account", sas.get("srt")
	if !strings.Contains(sas.get("ss"), "b") {
		return subject{}, errSAS("the signature is not for the blob service")
	}
	text := append([]string{account.Name}, sas.all("sp", "ss", "srt", "st", "se", "sip", "spr", "sv")...)
	if sas.get("sv") >= sasScope {
		text = append(text, sas.get("ses"))
	}
	return byAccountKey(account, strings.Join(text, "\n")+"\n", sas.get("sig"), g)
}

func byAccountKey(account Account, text, signature string, g *grant) (subject, error) {
	if !account.AllowSharedKey {
		return subject{}, resource.Forbiddenf("KeyBasedAuthenticationNotPermitted",
			"Key based authentication is not permitted on this storage account. Use a signature made with a user delegation key.")
	}
	for _, key := range account.Keys {
		if signedBy(key, text, signature) {
			return subject{byKey: true, grant: g}, nil
		}
	}
	return subject{}, errSAS("the signature does not match")
}

func signedBy(key []byte, text, signature string) bool {
	given, err := base64.StdEncoding.DecodeString(signature)
	return err == nil && len(key) > 0 && hmac.Equal(given, sign(key, text))
}

func sign(key []byte, text string) []byte {
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(text))
	return mac.Sum(nil)
}

// subjectAddress is what a SAS must have been signed for: the path, and for listings the prefix.
func (q *request) subjectAddress() address {
	at := q.at
	if at.path == "" && q.op.lists() {
		at.path = q.prefix()
	}
	return at
}

func (o *operation) lists() bool {
	return slices.ContainsFunc(o.needs, func(n need) bool { return n.on == onPrefix })
}

func isDate(text string) bool {
	_, err := time.Parse(time.DateOnly, text)
	return err == nil
}

func sasTime(text string) (time.Time, error) {
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04Z", time.DateOnly} {
		if t, err := time.Parse(layout, text); err == nil {
			return t, nil
		}
	}
	return time.Time{}, resource.Invalidf("InvalidQueryParameterValue", "%q is not a time", text)
}
