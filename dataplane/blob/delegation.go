package blob

import (
	"encoding/base64"
	"encoding/xml"
	"strings"
	"time"

	"github.com/alvara-ml/alvara/resource"
)

// userDelegationKey gives the caller a key that signs on the caller's behalf. The key is derived, not stored: it
// holds while the server's DelegationKey and the caller's rights do.
func (s *Server) userDelegationKey(q *request) error {
	if q.who.byKey || q.who.grant != nil {
		return resource.Forbiddenf("AuthenticationFailed", "a user delegation key is given to the holder of a bearer token only")
	}
	if !s.delegates() {
		return resource.Errorf(resource.Unsupported, "FeatureNotSupported", "user delegation is not offered")
	}
	var info struct {
		Start            string
		Expiry           string
		DelegatedUserTid string
	}
	if err := q.readXML(&info, 64<<10); err != nil {
		return err
	}
	now := s.Clock()
	expiry, err := sasTime(info.Expiry)
	if err != nil || !expiry.After(now) || expiry.Sub(now) > maxDelegate+maxSkew {
		return resource.Invalidf("InvalidXmlNodeValue", "Expiry is %q; expected a time within the next seven days", info.Expiry).At("Expiry")
	}
	start := now
	if info.Start != "" {
		if start, err = sasTime(info.Start); err != nil || !start.Before(expiry) || expiry.Sub(start) > maxDelegate+maxSkew {
			return resource.Invalidf("InvalidXmlNodeValue", "Start is %q; expected a time at most seven days before Expiry", info.Start).At("Start")
		}
	}
	version := q.w.Header().Get("x-ms-version")
	start, expiry = start.UTC().Truncate(time.Second), expiry.UTC().Truncate(time.Second)
	who := q.who.principal
	key := s.delegationKeyFor(q.account, who.ID, who.TenantID, start, expiry, "b", version, info.DelegatedUserTid)
	return q.writeXML(struct {
		XMLName                xml.Name `xml:"UserDelegationKey"`
		SignedOid              string
		SignedTid              string
		SignedStart            string
		SignedExpiry           string
		SignedService          string
		SignedVersion          string
		SignedDelegatedUserTid string `xml:",omitempty"`
		Value                  string
	}{
		SignedOid: who.ID, SignedTid: who.TenantID, SignedStart: start.Format(time.RFC3339), SignedExpiry: expiry.Format(time.RFC3339),
		SignedService: "b", SignedVersion: version, SignedDelegatedUserTid: info.DelegatedUserTid,
		Value: base64.StdEncoding.EncodeToString(key),
	})
}

// delegates tells whether the server has what delegation takes. A key derived from a short secret could be guessed.
func (s *Server) delegates() bool { return len(s.DelegationKey) >= 32 && s.Lookup != nil }

// delegationKeyFor derives the key of one principal on one account for one span of time.
func (s *Server) delegationKeyFor(account Account, oid, tid string, start, expiry time.Time, service, version, recipientTenant string) []byte {
	return sign(s.DelegationKey, strings.Join([]string{"user delegation key", account.ID.Key(), strings.ToLower(oid), strings.ToLower(tid),
		itoa(start.Unix()), itoa(expiry.Unix()), service, version, recipientTenant}, "\n"))
}
