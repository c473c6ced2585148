package sqlite_test

import (
	"context"
	"path/filepath"
	"testing"

	"github.com/alvara-ml/alvara/store"
	"github.com/alvara-ml/alvara/store/sqlite"
	"github.com/alvara-ml/alvara/store/storetest"
)

func open(t testing.TB, folder string) *sqlite.Store {
	t.Helper()
	s, err := sqlite.Open(context.Background(), filepath.Join(folder, "store.db"))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestStore(t *testing.T) {
	storetest.Run(t, func(t testing.TB) store.Store { return open(t, t.TempDir()) })
}

func TestDurable(t *testing.T) {
	storetest.RunDurable(t, func(t testing.TB, folder string) store.Store { return open(t, folder) })
}
