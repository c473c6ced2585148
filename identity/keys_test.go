package identity

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/alvara-ml/alvara/store"
	"github.com/alvara-ml/alvara/store/mem"
)

func TestSealerKeepsItsFileToItself(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keyset")
	first, err := OpenSealer(path)
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("the keyset has mode %v, %v", info.Mode(), err)
	}
	sealed, err := first.Seal([]byte("secret"), []byte("name"))
	if err != nil || bytes.Contains(sealed, []byte("secret")) {
		t.Fatalf("sealed: %q, %v", sealed, err)
	}
	second, err := OpenSealer(path)
	if err != nil {
		t.Fatal(err)
	}
	if opened, err := second.Open(sealed, []byte("name")); err != nil || string(opened) != "secret" {
		t.Fatalf("opened: %q, %v", opened, err)
	}
	if _, err := second.Open(sealed, []byte("another name")); err == nil {
		t.Fatal("what is sealed under one name opens under another")
	}
	sealed[len(sealed)-1] ^= 1
	if _, err := second.Open(sealed, []byte("name")); err == nil {
		t.Fatal("a changed ciphertext opens")
	}
	if entries, _ := os.ReadDir(filepath.Dir(path)); len(entries) != 1 {
		t.Fatalf("the folder holds %v", entries)
	}
	if err := os.Chmod(path, 0o640); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenSealer(path); err == nil || !strings.Contains(err.Error(), "chmod 600") {
		t.Fatalf("a keyset that others may read: %v", err)
	}
	damaged := filepath.Join(t.TempDir(), "damaged")
	if err := os.WriteFile(damaged, []byte("rubbish"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenSealer(damaged); err == nil {
		t.Fatal("a damaged keyset opens")
	}
}

func TestPrivateKeysLieSealed(t *testing.T) {
	w := newWorld(t)
	documents, err := w.store.List(w.ctx, store.Query{Kind: kindKeys})
	w.must(err)
	if len(documents) != 1 {
		t.Fatalf("%d keys are stored", len(documents))
	}
	other, err := OpenSealer(filepath.Join(t.TempDir(), "keyset"))
	w.must(err)
	if _, err := OpenKeys(w.ctx, KeysConfig{Store: w.store, Sealer: other, Clock: w.clock.Now}); err == nil {
		t.Fatal("the keys open with another master keyset")
	}
	// One key's document must not stand in for another's.
	var stored storedKey
	w.must(json.Unmarshal(documents[0].Body, &stored))
	_, err = w.store.Apply(w.ctx, store.Put{Key: "/identity/signingkeys/moved", Kind: kindKeys, Body: documents[0].Body}, store.Delete{Key: documents[0].Key})
	w.must(err)
	if _, err := OpenKeys(w.ctx, KeysConfig{Store: w.store, Sealer: w.sealer, Clock: w.clock.Now}); err == nil {
		t.Fatal("a moved key opens")
	}
}

func TestKeysRotateWithoutAGap(t *testing.T) {
	w := newWorld(t)
	_, service, _ := w.app("ci")
	issue := func() string {
		t.Helper()
		set, err := w.service.IssueLocal(w.ctx, service.ID, ClientAzureCLI, armAudience)
		w.must(err)
		return set.AccessToken
	}
	published := func() int {
		t.Helper()
		var set struct{ Keys []struct{ Kid string } }
		w.must(json.Unmarshal(w.keys.JWKS(), &set))
		return len(set.Keys)
	}
	first := w.keys.signer().id
	w.must(w.keys.Maintain(w.ctx))
	if published() != 1 {
		t.Fatal("a key is rotated at once")
	}
	w.clock.advance(29 * 24 * time.Hour)
	w.must(w.service.Maintain(w.ctx))
	if published() != 2 || w.keys.signer().id != first {
		t.Fatal("the next key must be published before it signs")
	}
	w.must(w.keys.Rotate(w.ctx)) // one is waiting already
	if published() != 2 {
		t.Fatalf("%d keys are published", published())
	}
	w.clock.advance(24*time.Hour - time.Second)
	old := issue()
	w.clock.advance(time.Second)
	second := w.keys.signer().id
	if second == first {
		t.Fatal("the new key does not sign when its time has come")
	}
	fresh := issue()
	w.wantAllowed(old, "arm", service.ID)
	w.wantAllowed(fresh, "arm", service.ID)
	// A restart finds the same keys.
	again, err := OpenKeys(w.ctx, KeysConfig{Store: w.store, Sealer: w.sealer, Clock: w.clock.Now})
	w.must(err)
	if again.signer().id != second || !bytes.Equal(again.JWKS(), w.keys.JWKS()) {
		t.Fatal("the keys differ after a restart")
	}
	w.clock.advance(time.Hour)
	w.must(w.keys.Maintain(w.ctx))
	w.wantAllowed(old, "arm", service.ID) // its token has not expired yet
	w.clock.advance(24 * time.Hour)
	w.must(w.keys.Maintain(w.ctx))
	if published() != 1 {
		t.Fatalf("%d keys are left after the old one's last token has expired", published())
	}
	w.wantRefused(old, "arm", "InvalidAuthenticationToken")
}

func TestKeysRefuseAnImpossiblePlan(t *testing.T) {
	w := newWorld(t)
	_, err := OpenKeys(w.ctx, KeysConfig{Store: w.store, Sealer: w.sealer, SigningPeriod: time.Hour, PublishAhead: 2 * time.Hour})
	if err == nil {
		t.Fatal("a key that is published longer than it signs")
	}
}

func TestOtherKindsOfKeysAreRefused(t *testing.T) {
	w := newWorld(t)
	documents, err := w.store.List(w.ctx, store.Query{Kind: kindKeys})
	w.must(err)
	var stored storedKey
	w.must(json.Unmarshal(documents[0].Body, &stored))
	stored.ID = "another"
	body, err := json.Marshal(stored)
	w.must(err)
	_, err = w.store.Apply(w.ctx, store.Put{Key: documents[0].Key, Kind: kindKeys, Body: body})
	w.must(err)
	if _, err := OpenKeys(w.ctx, KeysConfig{Store: w.store, Sealer: w.sealer}); err == nil {
		t.Fatal("a key under another's id opens")
	}
}

func TestFirstStartMakesAKey(t *testing.T) {
	sealer, err := OpenSealer(filepath.Join(t.TempDir(), "keyset"))
	if err != nil {
		t.Fatal(err)
	}
	keys, err := OpenKeys(context.Background(), KeysConfig{Store: mem.New(), Sealer: sealer})
	if err != nil {
		t.Fatal(err)
	}
	if key := keys.signer(); key.private.N.BitLen() != 2048 {
		t.Fatalf("the key has %d bits", key.private.N.BitLen())
	}
	token, err := keys.sign(map[string]string{"a": "b"})
	if err != nil {
		t.Fatal(err)
	}
	var claims map[string]string
	if err := keys.verifyOwn(token, &claims); err != nil || claims["a"] != "b" {
		t.Fatalf("%v, %v", claims, err)
	}
	other, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	if keyID(&other.PublicKey) == keys.signer().id {
		t.Fatal("two keys have one id")
	}
}
