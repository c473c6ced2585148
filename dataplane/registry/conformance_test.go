package registry

import (
	"encoding/pem"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/alvara-ml/alvara/resource"
)

// The conformance suite of the OCI distribution specification, with authorization on. It is a program of its own:
//
//	go install github.com/opencontainers/distribution-spec/conformance@latest
//	ALVARA_CONFORMANCE=$(go env GOPATH)/bin/conformance go test -run Conformance ./dataplane/registry
//
// Digests by SHA-512 are not offered, which the specification leaves to the registry.
func TestConformance(t *testing.T) {
	program := os.Getenv("ALVARA_CONFORMANCE")
	if program == "" {
		t.Skip("set ALVARA_CONFORMANCE to the program of the conformance suite")
	}
	w := newWorld(t)
	w.grant("somebody", "Owner", resource.Root)
	bundle := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(bundle, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: w.http["alpha"].Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	command := exec.CommandContext(t.Context(), program)
	command.Dir = t.TempDir()
	command.Env = append(os.Environ(),
		"OCI_REGISTRY="+w.catalog.registries["alpha"].LoginServer, "OCI_TLS=enabled", "SSL_CERT_FILE="+bundle, "OCI_USERNAME="+NoUser, "OCI_PASSWORD="+w.refresh("alpha", "somebody"),
		"OCI_DATA_SHA512=false", "OCI_API_BLOBS_DIGEST_HEADER=true", "OCI_API_MANIFESTS_DIGEST_HEADER=true", "OCI_API_BLOBS_UPLOAD_CANCEL=true", "OCI_RESULTS_DIR="+command.Dir,
	)
	output, err := command.CombinedOutput()
	t.Logf("%s", output)
	if err != nil {
		t.Fatal(err)
	}
}
