package identity

import (
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"strings"

	"github.com/alvara-ml/alvara/resource"
	"golang.org/x/crypto/argon2"
)

// Parameters of argon2id, as OWASP recommends for 19 MiB.
const (
	argonTime, argonMemoryKiB, argonThreads = 2, 19 * 1024, 1
	argonSalt, argonKey                     = 16, 32
	minPassword, maxPassword                = 8, 256
)

// hashPassword gives argon2id in the form $argon2id$v=19$m=…,t=…,p=…$salt$key.
func hashPassword(password string) (string, error) {
	if len(password) < minPassword || len(password) > maxPassword {
		return "", resource.Invalidf("Request_BadRequest", "password must have %d to %d characters; it has %d.", minPassword, maxPassword, len(password)).At("passwordProfile")
	}
	salt := make([]byte, argonSalt)
	_, _ = rand.Read(salt) // never fails
	sum := argon2.IDKey([]byte(password), salt, argonTime, argonMemoryKiB, argonThreads, argonKey)
	b64 := base64.RawStdEncoding
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, argonMemoryKiB, argonTime, argonThreads,
		b64.EncodeToString(salt), b64.EncodeToString(sum)), nil
}

// passwordMatches compares in constant time. An empty or malformed hash matches nothing, after the same work.
func passwordMatches(hash, password string) bool {
	if len(password) > maxPassword {
		return false
	}
	var memory, time uint32
	var threads uint8
	salt, want := make([]byte, argonSalt), []byte(nil)
	parts := strings.Split(hash, "$")
	if len(parts) == 6 && parts[1] == "argon2id" {
		_, err := fmt.Sscanf(parts[3], "m=%d,t=%d,p=%d", &memory, &time, &threads)
		s, errSalt := base64.RawStdEncoding.DecodeString(parts[4])
		k, errKey := base64.RawStdEncoding.DecodeString(parts[5])
		if err == nil && errSalt == nil && errKey == nil && memory <= 1<<20 && time > 0 && threads > 0 {
			salt, want = s, k
		}
	}
	if want == nil {
		memory, time, threads = argonMemoryKiB, argonTime, argonThreads
	}
	got := argon2.IDKey([]byte(password), salt, time, memory, threads, argonKey)
	return subtle.ConstantTimeCompare(got, want) == 1
}
