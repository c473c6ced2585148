package fraud

import (
	"crypto/sha256"
	"os"
	"path/filepath"
	"testing"

	"github.com/alvara-ml/alvara/featurestore/spec"
)

func TestGenerateIsSeeded(t *testing.T) {
	size := Size{Transactions: 5000, Accounts: 100, Observations: 200}
	sums := map[int][32]byte{}
	for i, seed := range []int{7, 7, 8} {
		dir := t.TempDir()
		files := 0
		if err := Generate(t.Context(), dir, size, seed, func(string, int, int) { files++ }); err != nil {
			t.Fatal(err)
		}
		if files != 44 {
			t.Errorf("%d files were reported; 44 were expected", files)
		}
		text, err := os.ReadFile(filepath.Join(dir, Transactions, "2021-05.parquet"))
		if err != nil {
			t.Fatal(err)
		}
		sums[i] = sha256.Sum256(text)
	}
	if sums[0] != sums[1] {
		t.Error("the same seed gives other data")
	}
	if sums[0] == sums[2] {
		t.Error("another seed gives the same data")
	}
}

func TestExampleIsValid(t *testing.T) {
	dir := t.TempDir()
	if err := Copy(dir, "fraudsource"); err != nil {
		t.Fatal(err)
	}
	for _, set := range []string{"transactions", "accounts"} {
		folder := filepath.Join(dir, set)
		entries, err := os.ReadDir(folder)
		if err != nil {
			t.Fatal(err)
		}
		content := map[string][]byte{}
		for _, entry := range entries {
			if content[entry.Name()], err = os.ReadFile(filepath.Join(folder, entry.Name())); err != nil {
				t.Fatal(err)
			}
		}
		parsed, err := spec.Parse(content)
		if err != nil {
			t.Fatalf("%s: %v", set, err)
		}
		if parsed.Source.Account != "fraudsource" {
			t.Errorf("%s: the account is %q", set, parsed.Source.Account)
		}
	}
}
