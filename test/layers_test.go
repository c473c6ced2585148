// Package test holds what is true of the project as a whole.
package test

import (
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/alvara-ml/alvara/"

// ban forbids a folder's code to import another folder's.
type ban struct {
	from, to string // folders; everything below is meant too. "" is every folder
	except   string // folders that may, separated by spaces
	because  string
}

var bans = []ban{
	{"resource", "", "", "the vocabulary is spoken by all and knows nobody"},
	{"store", "arm identity guard access audit provider dataplane featurestore app cli", "", "what keeps documents knows nothing of what they mean"},
	{"access", "store identity arm guard audit provider dataplane featurestore app cli", "", "decisions are pure: they read and write nothing"},
	{"audit", "store identity arm guard access provider dataplane featurestore app cli", "", "the log takes records from everybody and asks nobody"},
	{"identity", "arm guard provider dataplane featurestore app cli", "", "who somebody is does not depend on what is asked"},
	{"guard", "arm provider dataplane featurestore app cli", "", "the door is the same for every plane"},
	{"arm", "provider dataplane featurestore app cli", "", "the resource manager knows no resource type; providers declare them"},
	{"featurestore", "arm provider dataplane app cli guard access", "featurestore/materialize/materializetest", "features are computed as somebody, through the planes, and decide nothing"},
	{"worker", "store arm identity guard access audit provider dataplane featurestore image job app cli", "", "a process that does work knows nothing of the work"},
	{"job", "store arm identity guard access audit provider dataplane featurestore app cli", "", "what runs code knows nothing of whose it is"},
	{"image", "store arm guard access audit provider dataplane featurestore app cli", "", "images are built as somebody, through the registry's plane, and nothing is decided here"},
	{"workload", "store arm guard access audit provider dataplane featurestore app cli", "", "code runs as somebody, through the planes, and nothing is decided here"},
	{"serving", "store arm guard access audit provider dataplane featurestore app cli", "", "what keeps deployments running knows nothing of whose they are"},
	{"dataplane", "provider app cli", "", "a plane states what it needs as an interface; providers implement it"},
	{"provider", "app cli", "", "only the composition root knows everybody"},
	{"cli", "app arm provider dataplane store access guard audit identity", "", "the command line speaks to servers over the wire alone"},
	{"quickstart", "app arm provider dataplane store access guard audit identity cli", "", "the tour runs commands and has no way around them"},
	{"", "app", "app cmd test bench", "only a main and tests start servers"},
	{"", "featurestore/engine/duckdb", "featurestore/engine app cmd bench featurestore/materialize featurestore/retrieval test examples", "DuckDB is heavy to link; everybody else knows the contract alone"},
	{"", "job/sandbox", "job app bench image/sandboxed test", "the container runtime is heavy to link; everybody else knows a contract alone"},
	{"", "image/buildkit", "app test", "the daemon's client is heavy to link"},
	{"", "test", "test", "what tests need stays with tests"},
}

// Imports go one way: cmd → cli, app → provider, dataplane → arm, identity, featurestore → access, store → resource.
func TestImportDirection(t *testing.T) {
	root, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	files := 0
	err = filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() && (strings.HasPrefix(entry.Name(), ".") || entry.Name() == "testdata" || entry.Name() == "peers") {
			return fs.SkipDir
		}
		if entry.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return nil
		}
		files++
		folder, err := filepath.Rel(root, filepath.Dir(path))
		if err != nil {
			return err
		}
		check(t, path, filepath.ToSlash(folder))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if files < 100 {
		t.Errorf("only %d files were looked at", files)
	}
}

func check(t *testing.T, path, folder string) {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly)
	if err != nil {
		t.Error(err)
		return
	}
	for _, spec := range file.Imports {
		imported, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			t.Error(err)
			continue
		}
		ours, ok := strings.CutPrefix(imported, module)
		if !ok {
			continue
		}
		if why := forbidden(folder, ours); why != "" {
			t.Errorf("%s imports %s: %s", path, ours, why)
		}
		if a, b := providerOf(folder), providerOf(ours); a != "" && b != "" && a != b {
			t.Errorf("%s imports %s: providers hold resource ids and never import each other", path, ours)
		}
	}
}

func forbidden(folder, imported string) string {
	for _, b := range bans {
		if (b.from != "" && !within(folder, b.from)) || within(imported, b.from) && b.from != "" || anyWithin(folder, b.except) {
			continue
		}
		if b.to == "" || anyWithin(imported, b.to) {
			return b.because
		}
	}
	return ""
}

func within(folder, area string) bool { return folder == area || strings.HasPrefix(folder, area+"/") }

func anyWithin(folder, areas string) bool {
	for _, area := range strings.Fields(areas) {
		if within(folder, area) {
			return true
		}
	}
	return false
}

func providerOf(folder string) string {
	rest, ok := strings.CutPrefix(folder, "provider/")
	if !ok {
		return ""
	}
	name, _, _ := strings.Cut(rest, "/")
	return name
}

// The bans find what they forbid: a rule that can never fail guards nothing.
func TestBansBite(t *testing.T) {
	for _, pair := range [][2]string{
		{"resource", "store"}, {"access", "store"}, {"arm", "provider/storage"}, {"featurestore/retrieval", "arm"},
		{"cli", "app"}, {"provider/storage", "app"}, {"provider/storage", "featurestore/engine/duckdb"}, {"dataplane/blob", "provider/storage"},
	} {
		if forbidden(pair[0], pair[1]) == "" {
			t.Errorf("%s may import %s", pair[0], pair[1])
		}
	}
	for _, pair := range [][2]string{{"app", "provider/storage"}, {"arm", "store"}, {"featurestore/engine", "featurestore/engine/duckdb"}, {"provider/storage", "arm"}} {
		if why := forbidden(pair[0], pair[1]); why != "" {
			t.Errorf("%s may not import %s: %s", pair[0], pair[1], why)
		}
	}
}
