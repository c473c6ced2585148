package app

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
)

// Ports are kept over restarts, and a changed domain, which changes addresses that others have written down, is warned of.
func TestPortsAndDomain(t *testing.T) {
	dir := t.TempDir()
	var log bytes.Buffer
	start := func(domain string) *listeners {
		t.Helper()
		log.Reset()
		l, _, err := listen(&Config{DataDir: dir, Domain: domain, Log: slog.New(slog.NewTextHandler(&log, nil))})
		if err != nil {
			t.Fatal(err)
		}
		l.close()
		return l
	}
	first := start("")
	if log.Len() > 0 {
		t.Errorf("a first start warns: %s", &log)
	}
	second := start("")
	if second.main.Addr().String() != first.main.Addr().String() || log.Len() > 0 {
		t.Errorf("%s after %s: %s", second.main.Addr(), first.main.Addr(), &log)
	}
	named := start("lab.example")
	if named.registry == nil || !strings.Contains(log.String(), "lab.example") {
		t.Errorf("nothing says that the domain changed: %s", &log)
	}
	if again := start("lab.example"); again.registry.Addr().String() != named.registry.Addr().String() || log.Len() > 0 {
		t.Errorf("%s after %s: %s", again.registry.Addr(), named.registry.Addr(), &log)
	}
}

func TestTakenPort(t *testing.T) {
	l, _, err := listen(&Config{DataDir: t.TempDir(), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer l.close()
	_, _, err = listen(&Config{DataDir: t.TempDir(), Listen: l.main.Addr().String(), Log: slog.New(slog.DiscardHandler)})
	if err == nil || !strings.Contains(err.Error(), "--listen") || strings.Contains(err.Error(), "ports.json") {
		t.Errorf("a port that is taken: %v", err)
	}
}
