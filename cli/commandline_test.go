package cli

import (
	"bytes"
	"context"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/alecthomas/kong"
)

func testProgram(env map[string]string) (*Program, *bytes.Buffer, *bytes.Buffer) {
	var stdout, stderr bytes.Buffer
	return &Program{
		Stdin: strings.NewReader(""), Stdout: &stdout, Stderr: &stderr, Now: time.Now, Version: "1.2.3",
		Env: func(name string) string { return env[name] },
	}, &stdout, &stderr
}

func testParser(t *testing.T) *kong.Kong {
	t.Helper()
	program, _, _ := testProgram(nil)
	parser, err := program.parser(&Commands{})
	if err != nil {
		t.Fatal(err)
	}
	return parser
}

// words splits an example as a shell would, as far as the examples use quotes.
func words(t *testing.T, line string) []string {
	t.Helper()
	var out []string
	var word strings.Builder
	var quote rune
	in := false
	for _, r := range line {
		switch {
		case quote != 0 && r == quote:
			quote = 0
		case quote != 0:
			word.WriteRune(r)
		case r == '\'' || r == '"':
			quote, in = r, true
		case r == ' ':
			if in {
				out = append(out, word.String())
				word.Reset()
				in = false
			}
		default:
			in = true
			word.WriteRune(r)
		}
	}
	if quote != 0 {
		t.Fatalf("unbalanced quotes in %q", line)
	}
	if in {
		out = append(out, word.String())
	}
	return out
}

// existing makes the values of flags that must name existing files pass.
func existing(t *testing.T, args []string) []string {
	t.Helper()
	dir := t.TempDir()
	out := append([]string{}, args...)
	for i := range out {
		if i > 0 && (out[i-1] == "-s" || out[i-1] == "-d") && strings.HasPrefix(out[i], "./") {
			out[i] = dir
		}
		if i > 0 && (out[i-1] == "-f" || out[i-1] == "--observations") {
			out[i] = "commandline_test.go"
		}
	}
	return out
}

func TestEveryCommandHasHelpAndAnExampleThatParses(t *testing.T) {
	parser := testParser(t)
	leaves := parser.Model.Leaves(true)
	if len(leaves) < 80 {
		t.Fatalf("only %d commands", len(leaves))
	}
	for _, leaf := range leaves {
		t.Run(leaf.FullPath(), func(t *testing.T) {
			if leaf.Help == "" {
				t.Error("no help text")
			}
			shown := examples(leaf)
			if len(shown) == 0 {
				t.Fatal("no example")
			}
			for _, example := range shown {
				line := strings.TrimSuffix(strings.TrimPrefix(example, `eval "$(`), `)"`)
				line = strings.TrimSuffix(strings.TrimPrefix(line, "source <("), ")")
				args := existing(t, words(t, line)[1:])
				parser := testParser(t)
				parsed, err := parser.Parse(normalize(parser.Model.Node, args))
				if err != nil {
					t.Fatalf("%s: %v", example, err)
				}
				if parsed.Selected().FullPath() != leaf.FullPath() {
					t.Fatalf("%s runs %s", example, parsed.Selected().FullPath())
				}
			}
			for _, flag := range leaf.Flags {
				if flag.Help == "" {
					t.Errorf("--%s has no help text", flag.Name)
				}
			}
		})
	}
}

// The command lines that the project promises to keep; scripts rely on them.
func TestPromisedCommandLinesParse(t *testing.T) {
	for _, line := range []string{
		"serve --data DIR", "serve --data DIR --listen 127.0.0.1:8443", "env --data DIR", "login --local --data DIR",
		"ad sp create-for-rbac -n NAME", "ad sp create-for-rbac -n NAME --role R --scopes S1 S2",
		"ml feature-set create -f commandline_test.go --feature-store FS -g RG",
		"ml feature-set backfill -n transactions -v 1 --feature-window-start-time T --feature-window-end-time T --feature-store FS -g RG",
		"ml feature-set backfill -n transactions -v 1 --feature-window-start-time T --feature-window-end-time T --data-status None Incomplete --feature-store FS -g RG --wait --memory-limit 512MB",
		"features get-offline --feature-store FS -g RG --features transactions:1 accounts:1:accountAge --observations commandline_test.go --timestamp-column timestamp --out train.parquet --memory-limit 512MB",
		"features get-online --feature-store FS -g RG --features transactions:1 --keys accountID=A1,A2,A3 -o json",
		"features get-online --feature-store FS -g RG --features transactions:1 --keys site=S1,S2 device=1,2",
		"ml feature-store show -n FS -g RG", "quickstart", "quickstart --act features --dir DIR --exit", "bench P1 P4 --quick --output json",
		"role assignment create --assignee X --role acrpull --scope /subscriptions/S", "role assignment list --all --include-inherited --assignee X --include-groups",
		"-o tsv ml job show -n J -fs FS -g RG", "group create --resource-group rg -l westeurope --tags a=b c=d", "completion zsh",
		"acr create -n R -g RG", "acr create --name R --resource-group RG --sku Basic --admin-enabled true", "acr login -n R --expose-token", "acr credential renew -n R --password-name password",
		"acr repository show-tags -n R --repository X --orderby time_desc --top 3 --detail", "acr repository update -n R --image X:1 --write-enabled false",
		"acr build -r R -t X:1 --image X:{{.Run.ID}} --build-arg A=1 --build-arg B=2 --identity [system] --credential other.cr.local=ID --no-wait -f docker/Dockerfile .", "acr build --registry R -g RG --image X:1 CONTEXT",
		"acr task runs -r R", "acr task logs -r R", "acr identity assign -n R --identities [system] ID",
		"ml feature-set show -n t -v 1 -fs FS -g RG", "ml feature-set show -n t --version=1 --feature-store-name FS -g RG",
	} {
		parser := testParser(t)
		if _, err := parser.Parse(normalize(parser.Model.Node, strings.Fields(line))); err != nil {
			t.Errorf("alvara %s: %v", line, err)
		}
	}
}

func TestListsAfterOneFlag(t *testing.T) {
	for _, c := range []struct{ line, want string }{
		{"features get-online --keys a=1,2 b=3,4 -g rg --features x:1 y:2", "features get-online --keys=a=1,2 --keys=b=3,4 --resource-group rg --features=x:1 --features=y:2"},
		{"features get-online --keys=a=1 --features x:1", "features get-online --keys=a=1 --features=x:1"},
		{"ml feature-set backfill --data-status None -fs s -w", "ml feature-set backfill --data-status=None --feature-store s --feature-store"},
		{"group create -g rg --tags", "group create --name rg --tags"},
		{"-o table group list", "--output table group list"},
		{"group list -- --tags a b", "group list -- --tags a b"},
		{"group create --nosuch a b", "group create --nosuch a b"},
		{"acr build -r reg -t a:1 --image b:1 --build-arg A=1 ctx", "acr build --registry reg --image a:1 --image b:1 --build-arg A=1 ctx"},
		{"acr update -n reg --admin-enabled false", "acr update --name reg --admin-enabled=false"},
		{"acr update -r reg --admin-enabled", "acr update --name reg --admin-enabled"},
		{"features get-online --keys device=-1 -5", "features get-online --keys=device=-1 --keys=-5"},
	} {
		parser := testParser(t)
		if got := strings.Join(normalize(parser.Model.Node, strings.Fields(c.line)), " "); got != c.want {
			t.Errorf("%s\n got %s\nwant %s", c.line, got, c.want)
		}
	}
}

// A backslash in the midst of a line makes a shell put a space before the flag that follows.
func TestFlagsAfterABackslashAreFlags(t *testing.T) {
	parser := testParser(t)
	args := []string{"ml", "workspace", "show", "-w", "ws", " -g", "rg", "--query", " -1 ", "--", " -g"}
	if got := normalize(parser.Model.Node, args); !reflect.DeepEqual(got, []string{"ml", "workspace", "show", "--name", "ws", "--resource-group", "rg", "--query", " -1 ", "--", " -g"}) {
		t.Errorf("got %q", got)
	}
}

func TestKeysArePairedByPosition(t *testing.T) {
	keys, err := parseKeys([]string{"site=S1,S2", `device="1,5",2`})
	if err != nil {
		t.Fatal(err)
	}
	text, err := keys.MarshalJSON()
	if want := `{"site":["S1","S2"],"device":["1,5","2"]}`; err != nil || string(text) != want {
		t.Errorf("got %s, %v", text, err)
	}
	for _, bad := range [][]string{{"a"}, {"=1"}, {"a=1", "a=2"}, {"a=1,2", "b=1"}, {"a="}} {
		if keys, err := parseKeys(bad); err == nil {
			t.Errorf("%v was read as %v", bad, keys)
		}
	}
}

func TestMemoryLimit(t *testing.T) {
	for text, want := range map[string]int64{"512MB": 512e6, "2GiB": 2 << 30, "1.5gb": 15e8, "1024": 1024, "64 MB": 64e6, "100k": 100e3} {
		var m memoryLimit
		if err := m.UnmarshalText([]byte(text)); err != nil || int64(m) != want {
			t.Errorf("%s gives %d, %v", text, m, err)
		}
	}
	for _, text := range []string{"", "MB", "-1MB", "0", "lots", "1e30GB", "512XB"} {
		var m memoryLimit
		if err := m.UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q gives %d", text, m)
		}
	}
}

func TestISODuration(t *testing.T) {
	for text, want := range map[time.Duration]string{0: "PT0S", 30 * 24 * time.Hour: "P30D", 90 * time.Minute: "PT1H30M", 26*time.Hour + time.Second: "P1DT2H1S"} {
		if got := isoDuration(text); got != want {
			t.Errorf("%v gives %s, want %s", text, got, want)
		}
	}
}

func TestTagsAreRead(t *testing.T) {
	tags, err := tagsOf([]string{"b=1", "a=x=y", "c"})
	if err != nil || !reflect.DeepEqual(tags.Keys(), []string{"b", "a", "c"}) || tags.Text("a") != "x=y" {
		t.Fatalf("got %v, %v", tags, err)
	}
	if _, err := tagsOf([]string{"=x"}); err == nil {
		t.Fatal("a tag without a name was taken")
	}
}

func TestHelpIsFastAndWhole(t *testing.T) {
	program, stdout, _ := testProgram(nil)
	if code := program.Run(context.Background(), []string{"ml", "feature-set", "backfill", "--help"}); code != ExitOK {
		t.Fatalf("exit code %d", code)
	}
	for _, want := range []string{"Usage: alvara ml feature-set backfill", "--feature-window-start-time", "Example:\n  alvara ml feature-set backfill -n transactions"} {
		if !strings.Contains(stdout.String(), want) {
			t.Errorf("the help lacks %q:\n%s", want, stdout)
		}
	}
}

// What lies in a workspace is asked for in its words, and what lies in a feature store in those; each takes the other's too.
func TestWorkspacesByTheirName(t *testing.T) {
	parser := testParser(t)
	for _, group := range child(parser.Model.Node, "ml").Children {
		store := strings.HasPrefix(group.Name, "feature-")
		for _, leaf := range group.Leaves(false) {
			for _, flag := range flagsOf(leaf) {
				if flag.Name == "feature-store" && !store || flag.Name == "workspace-name" && (store || flag.Short != 'w') {
					t.Errorf("%s has --%s", leaf.FullPath(), flag.Name)
				}
			}
		}
	}
	for _, command := range []string{"ml job show -n J", "ml job validate -f commandline_test.go", "ml datastore list", "ml connection show -n C", "ml compute list", "ml environment show -n E", "ml online-endpoint list", "ml feature-set show -n S -v 1"} {
		for _, flag := range []string{"-w", "--workspace-name", "--workspace", "-fs", "--feature-store", "--feature-store-name", "--fs-name"} {
			if _, err := parser.Parse(normalize(parser.Model.Node, strings.Fields(command+" -g RG "+flag+" X"))); err != nil {
				t.Errorf("%s %s: %v", command, flag, err)
			}
		}
	}
	program, stdout, _ := testProgram(nil)
	if program.Run(context.Background(), []string{"ml", "job", "show", "--help"}); !strings.Contains(stdout.String(), "-w, --workspace-name") || strings.Contains(stdout.String(), "--feature-store=") {
		t.Error(stdout)
	}
}

func TestCompletion(t *testing.T) {
	for _, c := range []struct{ line, want, absent string }{
		{"", "ml\t", "--"},
		{"ml fea", "feature-store\t", "job"},
		{"ml feature-set backfill --da", "--data-status\t", "--name"},
		{"group list -o ", "tsv\t", "--"},
		{"group list -o t", "table\t", "json"},
		{"ml feature-set backfill --wait --w", "", "--wait"},
		{"completion ", "zsh\t", "ml"},
		{"role assignment create --assignee-principal-type ", "ServicePrincipal\t", "--role"},
	} {
		program, stdout, _ := testProgram(nil)
		program.Run(context.Background(), append([]string{completeCommand, "--"}, strings.Split(c.line, " ")...))
		if !strings.Contains("\n"+stdout.String(), "\n"+c.want) {
			t.Errorf("%q offers\n%s\nwithout %q", c.line, stdout, c.want)
		}
		if strings.Contains("\n"+stdout.String(), "\n"+c.absent) {
			t.Errorf("%q offers %q:\n%s", c.line, c.absent, stdout)
		}
	}
}
