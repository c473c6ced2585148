package identity

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"testing"
)

// The benchmarks of P2: each of ours stands beside its limit.

func BenchmarkIssue(b *testing.B) {
	w := newWorld(b)
	identity, _ := w.managed("mi")
	b.ReportAllocs()
	for b.Loop() {
		if _, err := w.service.IssueManaged(w.ctx, identity.PrincipalID, armAudience); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkIssueLimitRSASign(b *testing.B) {
	w := newWorld(b)
	key, sum := w.keys.signer().private, sha256.Sum256([]byte("x"))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := rsa.SignPKCS1v15(rand.Reader, key, crypto.SHA256, sum[:]); err != nil {
			b.Fatal(err)
		}
	}
}

func benchmarkToken(b *testing.B) (*world, string) {
	w := newWorld(b)
	_, service, _ := w.app("ci")
	group, err := w.directory.CreateGroup(w.ctx, "g", "")
	w.must(err)
	w.must(w.directory.AddMember(w.ctx, group.ID, service.ID))
	set, err := w.service.IssueLocal(w.ctx, service.ID, ClientAzureCLI, armAudience)
	w.must(err)
	return w, set.AccessToken
}

func BenchmarkVerify(b *testing.B) {
	w, token := benchmarkToken(b)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := w.auth.verify(token); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkVerifyLimitRSAVerify(b *testing.B) {
	w := newWorld(b)
	key, sum := w.keys.signer().private, sha256.Sum256([]byte("x"))
	signature, err := rsa.SignPKCS1v15(rand.Reader, key, crypto.SHA256, sum[:])
	w.must(err)
	b.ReportAllocs()
	for b.Loop() {
		if err := rsa.VerifyPKCS1v15(&key.PublicKey, crypto.SHA256, sum[:], signature); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkAuthenticateKnownToken(b *testing.B) {
	w, token := benchmarkToken(b)
	if _, err := w.auth.Authenticate(w.ctx, token, "arm"); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := w.auth.Authenticate(w.ctx, token, "arm"); err != nil {
			b.Fatal(err)
		}
	}
}
