package blob_test

import (
	"encoding/base64"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob"

	"github.com/alvara-ml/alvara/dataplane/blob"
)

func TestSignBlob(t *testing.T) {
	w := newWorld(t, "mem")
	credential := try(azblob.NewSharedKeyCredential("keyed", base64.StdEncoding.EncodeToString(accountKey)))
	c := try(azblob.NewClientWithSharedKeyCredential(w.url("keyed", false), credential, &azblob.ClientOptions{ClientOptions: w.options()}))
	try(c.CreateContainer(t.Context(), "data", nil))
	for _, step := range []struct {
		method, path, signed, permissions string
		key                               []byte
		life                              time.Duration
		want                              int
	}{
		{"PUT", "made", "made", "cw", accountKey, time.Minute, 201},
		{"GET", "made", "made", "r", accountKey, time.Minute, 200},
		{"GET", "made", "made", "r", accountKey, -time.Minute, 403},
		{"GET", "made", "made", "cw", accountKey, time.Minute, 403},
		{"PUT", "made", "made", "r", accountKey, time.Minute, 403},
		{"GET", "other", "made", "r", accountKey, time.Minute, 403},
		{"GET", "made", "made", "r", []byte("another key"), time.Minute, 403},
	} {
		url := w.url("keyed", false) + "data/" + step.path + "?" + blob.SignBlob("keyed", step.key, "data", step.signed, step.permissions, time.Now().Add(step.life))
		if r, body := w.sendTo(t, "", call{method: step.method, headers: map[string]string{"x-ms-blob-type": "BlockBlob"}, body: "x"}, url); r.StatusCode != step.want {
			t.Errorf("%+v: %s %s", step, r.Status, body)
		}
	}
}
