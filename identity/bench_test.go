package identity

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"runtime"
	"syscall"
	"testing"
	"time"
)

// The benchmarks of P2: each of ours stands beside its limit. cpu-ns/op is what to compare on a machine with other work.

// measureCPU reports the processor time of the process per operation, garbage collection included.
func measureCPU(b *testing.B) {
	b.Helper()
	now := func() int64 {
		var usage syscall.Rusage
		if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
			b.Fatal(err)
		}
		return usage.Utime.Nano() + usage.Stime.Nano()
	}
	start := now()
	b.Cleanup(func() { b.ReportMetric(float64(now()-start)/float64(b.N), "cpu-ns/op") })
}

func BenchmarkIssue(b *testing.B) {
	w := newWorld(b)
	identity, _ := w.managed("mi")
	b.ReportAllocs()
	measureCPU(b)
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
	measureCPU(b)
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
	measureCPU(b)
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
	measureCPU(b)
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
	measureCPU(b)
	for b.Loop() {
		if _, err := w.auth.Authenticate(w.ctx, token, "arm"); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkIssueOverSign alternates between issuing and signing alone, so that whatever else the machine does weighs on both,
// and reports the ratio of their processor times (P2: at most 1.15).
func BenchmarkIssueOverSign(b *testing.B) {
	w := newWorld(b)
	identity, _ := w.managed("mi")
	key, sum := w.keys.signer().private, sha256.Sum256([]byte("x"))
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var issue, sign time.Duration
	for b.Loop() {
		start := threadTime(b)
		if _, err := w.service.IssueManaged(w.ctx, identity.PrincipalID, armAudience); err != nil {
			b.Fatal(err)
		}
		middle := threadTime(b)
		if _, err := rsa.SignPKCS1v15(rand.Reader, key, crypto.SHA256, sum[:]); err != nil {
			b.Fatal(err)
		}
		issue, sign = issue+middle-start, sign+threadTime(b)-middle
	}
	b.ReportMetric(float64(issue)/float64(sign), "ratio")
}

func threadTime(b *testing.B) time.Duration {
	const rusageThread = 1 // RUSAGE_THREAD
	var usage syscall.Rusage
	if err := syscall.Getrusage(rusageThread, &usage); err != nil {
		b.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}
