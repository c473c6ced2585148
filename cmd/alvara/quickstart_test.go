package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/alvara-ml/alvara/examples/fraud"
)

// The tour runs to its end, shows what is refused, and runs again in the same folder.
func TestQuickstart(t *testing.T) {
	full := tourSize
	tourSize = fraud.Size{Transactions: 20_000, Accounts: 500, Observations: 1_000}
	defer func() { tourSize = full }()
	dir, err := os.MkdirTemp("", "alvara-tour-")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	for _, run := range []string{"first", "second"} {
		var stdout, stderr bytes.Buffer
		code := program(strings.NewReader(""), &stdout, &stderr, os.Getenv).Run(t.Context(), []string{"quickstart", "--dir", filepath.Join(dir, "data"), "--exit"})
		if code != 0 {
			t.Fatalf("%s run: exit code %d\n%s\n%s", run, code, stdout.String(), stderr.String())
		}
		for _, want := range []string{"featuresets/write", "featuresets/read", "ended as Failed", "Completed", "How to go on",
			"adminUserEnabled: false", "UnAuthorizedForCredentialOperations", "Successfully tagged", "$ crane pull", "DENIED",
			"does not hold AcrPull", "ComputeCannotPull", "epoch 60: loss", "isolation: sandbox", "alvara.featureSets", `"probability"`, "onlineEndpoints/score/action"} {
			if !strings.Contains(stdout.String(), want) {
				t.Errorf("%s run: %q is not shown", run, want)
			}
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "data", "quickstart", "train.parquet")); err != nil {
		t.Error(err)
	}
}
