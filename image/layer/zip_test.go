package layer_test

import (
	"bytes"
	"compress/gzip"
	"io"

	"pgregory.net/rapid"
)

func unzip(t *rapid.T, packed []byte) []byte {
	r, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		t.Fatal(err)
	}
	plain, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return plain
}
