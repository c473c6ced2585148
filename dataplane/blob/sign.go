package blob

import (
	"encoding/base64"
	"net/url"
	"strings"
	"time"
)

// signedVersion is the version of the signatures that SignBlob makes.
const signedVersion = "2021-12-02"

// SignBlob makes the query of a URL that lets its holder do one thing with one blob until a time: a service SAS, signed
// with a key of the account, which must allow shared keys. Permissions are SAS letters, such as "r" or "cw". The URL holds over TLS only.
func SignBlob(account string, key []byte, container, path, permissions string, expiry time.Time) string {
	values := url.Values{"sv": {signedVersion}, "sr": {"b"}, "spr": {"https"}, "sp": {permissions}, "se": {expiry.UTC().Format(time.RFC3339)}}
	sas := sasOf(values)
	values.Set("sig", base64.StdEncoding.EncodeToString(sign(key, serviceText(account, sas, &grant{container: container, path: path}))))
	return values.Encode()
}

// serviceText is what a service SAS signs.
func serviceText(account string, sas sasQuery, g *grant) string {
	text := []string{sas.get("sp"), sas.get("st"), sas.get("se"), canonicalName(account, g)}
	text = append(text, sas.all("si", "sip", "spr", "sv", "sr")...)
	text = append(text, "") // the snapshot's time
	if sas.get("sv") >= sasScope {
		text = append(text, sas.get("ses"))
	}
	return strings.Join(append(text, sas.all("rscc", "rscd", "rsce", "rscl", "rsct")...), "\n")
}
