package identity

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/insecurecleartextkeyset"
	"github.com/tink-crypto/tink-go/v2/keyset"
)

// Sealer encrypts what is kept in the store but must not be readable there. The associated data names what is sealed and
// must be the same on opening, so that one sealed thing cannot be put in another's place. It may be used concurrently.
type Sealer interface {
	Seal(plaintext, associatedData []byte) ([]byte, error)
	Open(ciphertext, associatedData []byte) ([]byte, error)
}

// OpenSealer reads the master keyset from a file that only its owner may read, and makes the file (mode 0600) when there is
// none. Whoever holds this file and the store can read everything sealed; without the file it is lost.
func OpenSealer(path string) (Sealer, error) {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		if err := createKeyset(path); err != nil {
			return nil, fmt.Errorf("master keyset %s: %w", path, err)
		}
		info, err = os.Lstat(path)
	}
	if err != nil {
		return nil, fmt.Errorf("master keyset: %w", err)
	}
	if !info.Mode().IsRegular() || info.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("master keyset %s has mode %v; it must be a regular file that only its owner may read: run chmod 600 on it", path, info.Mode())
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("master keyset: %w", err)
	}
	handle, err := insecurecleartextkeyset.Read(keyset.NewBinaryReader(bytes.NewReader(raw)))
	if err != nil {
		return nil, fmt.Errorf("master keyset %s is damaged; restore it from a backup: %w", path, err)
	}
	primitive, err := aead.New(handle)
	if err != nil {
		return nil, fmt.Errorf("master keyset %s cannot be used: %w", path, err)
	}
	return sealer{primitive}, nil
}

// createKeyset writes a new keyset beside path and links it into place, so that a crash leaves the whole file or none and
// of two processes that start together one wins.
func createKeyset(path string) error {
	handle, err := keyset.NewHandle(aead.AES256GCMKeyTemplate())
	if err != nil {
		return err
	}
	file, err := os.CreateTemp(filepath.Dir(path), ".keyset-*") // mode 0600
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(file.Name()) }()
	if err := insecurecleartextkeyset.Write(handle, keyset.NewBinaryWriter(file)); err != nil {
		_ = file.Close()
		return err
	}
	if err := errors.Join(file.Sync(), file.Close()); err != nil {
		return err
	}
	if err := os.Link(file.Name(), path); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	folder, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(folder.Sync(), folder.Close())
}

type sealer struct {
	aead interface {
		Encrypt(plaintext, associatedData []byte) ([]byte, error)
		Decrypt(ciphertext, associatedData []byte) ([]byte, error)
	}
}

func (s sealer) Seal(plaintext, associatedData []byte) ([]byte, error) {
	return s.aead.Encrypt(plaintext, associatedData)
}

func (s sealer) Open(ciphertext, associatedData []byte) ([]byte, error) {
	return s.aead.Decrypt(ciphertext, associatedData)
}
