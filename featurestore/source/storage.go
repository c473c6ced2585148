// Package source brings a feature set's source files to this machine, as somebody: it lists, chooses and downloads.
// It decides nothing about rights, which are the storage plane's, and reads no rows, which is the engine's work.
package source

import (
	"net/http"
	"regexp"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"

	"github.com/alvara-ml/alvara/featurestore/lake"
	"github.com/alvara-ml/alvara/featurestore/lake/azure"
	"github.com/alvara-ml/alvara/resource"
)

// Storage opens containers as the principal of a credential.
type Storage struct {
	// Blob is the blob plane's address. With {account} in it, that is where the account's name goes, as in
	// https://{account}.blob.example.org; otherwise the account is the first segment of the path.
	Blob       string
	HTTP       *http.Client
	Credential azcore.TokenCredential
}

var (
	accountName   = regexp.MustCompile(`^[a-z0-9]{3,24}$`)
	containerName = regexp.MustCompile(`^(\$?[a-z0-9](-?[a-z0-9])*)$`)
)

// URL is the address of a container. A name that is none is Invalid, so that no name can change the address.
func (s Storage) URL(account, container string) (string, error) {
	if !accountName.MatchString(account) {
		return "", resource.Invalidf("InvalidSource", "The storage account's name %q is malformed; expected 3 to 24 lower-case letters and digits.", account)
	}
	if !containerName.MatchString(container) || len(container) < 3 || len(container) > 63 {
		return "", resource.Invalidf("InvalidSource", "The container's name %q is malformed; expected 3 to 63 lower-case letters, digits and single hyphens.", container)
	}
	base := strings.TrimSuffix(s.Blob, "/")
	if strings.Contains(base, "{account}") {
		return strings.ReplaceAll(base, "{account}", account) + "/" + container, nil
	}
	return base + "/" + account + "/" + container, nil
}

// Bucket opens a container. It sends no request.
func (s Storage) Bucket(account, container string) (lake.Bucket, error) {
	url, err := s.URL(account, container)
	if err != nil {
		return nil, err
	}
	return azure.Open(url, s.Credential, azure.Options{HTTP: s.HTTP})
}
