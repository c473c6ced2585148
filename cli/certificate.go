package cli

import (
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
)

// certificateKey gives the base64 DER form of the first certificate in a PEM text, as Graph takes it.
func certificateKey(text []byte) (string, error) {
	for {
		var block *pem.Block
		if block, text = pem.Decode(text); block == nil {
			return "", errors.New("there is no PEM certificate in it")
		}
		if block.Type != "CERTIFICATE" {
			continue
		}
		if _, err := x509.ParseCertificate(block.Bytes); err != nil {
			return "", err
		}
		return base64.StdEncoding.EncodeToString(block.Bytes), nil
	}
}
