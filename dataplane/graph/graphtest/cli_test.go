// Package graphtest runs the commands that manage the directory against a whole server. It has no code of its own.
package graphtest

import (
	"bytes"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/alvara-ml/alvara/cli"
	"github.com/alvara-ml/alvara/test/testenv"
)

func TestMain(m *testing.M) { os.Exit(testenv.Main(m)) }

// shell runs commands as somebody at a terminal would.
type shell struct {
	t   *testing.T
	env map[string]string
}

// run gives what a command prints, without the line's end.
func (s shell) run(args ...string) string {
	s.t.Helper()
	out, code := s.try("", args...)
	if code != cli.ExitOK {
		s.t.Fatalf("alvara %s: exit %d: %s", strings.Join(args, " "), code, out)
	}
	return out
}

func (s shell) try(stdin string, args ...string) (out string, code int) {
	s.t.Helper()
	var stdout, stderr bytes.Buffer
	program := &cli.Program{
		Stdin: strings.NewReader(stdin), Stdout: &stdout, Stderr: &stderr, Now: time.Now, Version: "test",
		Env: func(name string) string { return s.env[name] },
	}
	if code = program.Run(s.t.Context(), args); code != cli.ExitOK {
		return stderr.String(), code
	}
	return strings.TrimSpace(stdout.String()), code
}

// The ad commands, and role assignments that look somebody up, over a server's own listener.
func TestCommandsOfTheCLI(t *testing.T) {
	if testing.Short() {
		t.Skip("runs a whole server")
	}
	env := testenv.Start(t)
	sh := shell{t, map[string]string{"ALVARA_CONFIG_DIR": t.TempDir()}}
	sh.run("login", "--local", "--data", env.Dir)
	tsv := func(query string, args ...string) string {
		t.Helper()
		return sh.run(append(args, "--query", query, "-o", "tsv")...)
	}
	root := "/subscriptions/" + env.Server.Endpoints.Subscription

	if me := tsv("id", "ad", "signed-in-user", "show"); me == "" {
		t.Error("nobody is signed in")
	}
	if out, code := sh.try("a good long password\n", "ad", "user", "create", "--display-name", "Ana O'Neil", "--user-principal-name", "ana@example.org", "--password", "-"); code != cli.ExitOK {
		t.Fatalf("exit %d: %s", code, out)
	}
	ana := tsv("id", "ad", "user", "show", "--id", "ana@example.org")
	for _, flags := range [][]string{{"--upn", "ana@example.org"}, {"--display-name", "Ana O'N"}, {"--filter", "displayName eq 'Ana O''Neil'"}} {
		if got := tsv("[].id", append([]string{"ad", "user", "list"}, flags...)...); got != ana {
			t.Errorf("user list %v gives %q, want %s", flags, got, ana)
		}
	}
	group := tsv("id", "ad", "group", "create", "--display-name", "feature readers", "--description", "who reads")
	if again := tsv("id", "ad", "group", "create", "--display-name", "feature readers"); again != group {
		t.Errorf("a second group %s", again)
	}
	check := func(want string) {
		t.Helper()
		if got := tsv("value", "ad", "group", "member", "check", "-g", "feature readers", "--member-id", "ana@example.org"); got != want {
			t.Errorf("member: %s, want %s", got, want)
		}
	}
	check("false")
	sh.run("ad", "group", "member", "add", "-g", "feature readers", "--member-id", ana)
	sh.run("ad", "group", "member", "add", "-g", group, "--member-id", "ana@example.org")
	check("true")
	if got := tsv("[].displayName", "ad", "group", "member", "list", "-g", group); got != "Ana O'Neil" {
		t.Errorf("members: %q", got)
	}

	made := tsv("[appId, password]", "ad", "sp", "create-for-rbac", "-n", "it's ci", "--role", "Reader", "--scopes", root)
	appID, secret, _ := strings.Cut(strings.Join(strings.Fields(made), " "), " ")
	service := tsv("id", "ad", "sp", "show", "--id", appID)
	if service == "" || len(secret) < 32 {
		t.Fatalf("create-for-rbac gives %q", made)
	}
	// Whoever holds the new secret signs in with it.
	pipeline := shell{t, map[string]string{
		"ALVARA_CONFIG_DIR": t.TempDir(), "ALVARA_ENDPOINT": env.Server.Endpoints.ResourceManager, "ALVARA_GRAPH_ENDPOINT": env.Server.Endpoints.Graph,
		"AZURE_AUTHORITY_HOST": env.Server.Endpoints.Authority, "SSL_CERT_FILE": env.Dir + "/tls/ca.pem", "ALVARA_CA_FILE": env.Dir + "/tls/ca.pem",
	}}
	pipeline.run("login", "--service-principal", "-u", appID, "-p", secret, "--tenant", env.Server.Endpoints.Tenant)
	if got := pipeline.run("ad", "user", "show", "--id", "ana@example.org", "--query", "id", "-o", "tsv"); got != ana {
		t.Errorf("the pipeline sees %q", got)
	}
	if out, code := pipeline.try("", "ad", "group", "create", "--display-name", "mine"); code == cli.ExitOK || !strings.Contains(out, "Insufficient privileges") {
		t.Errorf("a reader makes groups: exit %d: %s", code, out)
	}

	for assignee, want := range map[string]string{"ana@example.org": ana, "feature readers": group, "it's ci": service, appID: service, ana: ana} {
		if got := tsv("principalId", "role", "assignment", "create", "--assignee", assignee, "--role", "Contributor", "--scope", root); got != want {
			t.Errorf("--assignee %q is %q, want %s", assignee, got, want)
		}
	}
	names := tsv("[?roleDefinitionName=='Contributor'].principalName", "role", "assignment", "list", "--scope", root)
	for _, name := range []string{"ana@example.org", "feature readers", appID} {
		if !strings.Contains(names, name) {
			t.Errorf("role assignments name %q, without %s", names, name)
		}
	}

	reset := tsv("password", "ad", "sp", "credential", "reset", "--id", "it's ci")
	if reset == secret || len(reset) < 32 {
		t.Errorf("reset gives %q", reset)
	}
	if got := tsv("length(passwordCredentials)", "ad", "app", "show", "--id", "it's ci"); got != "1" {
		t.Errorf("%s secrets after the reset", got)
	}
	if got := tsv("[].appId", "ad", "app", "list", "--display-name", "it's"); got != appID {
		t.Errorf("app list gives %q", got)
	}
	if got := tsv("[].id", "ad", "sp", "list", "--display-name", "it's"); got != service {
		t.Errorf("sp list gives %q", got)
	}
	sh.run("ad", "app", "create", "--display-name", "bare")
	sh.run("ad", "sp", "create", "--id", "bare")
	sh.run("ad", "sp", "delete", "--id", "it's ci")
	sh.run("ad", "app", "delete", "--id", "bare")
	if got := tsv("[].displayName", "ad", "app", "list"); got != "" {
		t.Errorf("applications left: %q", got)
	}
	sh.run("ad", "group", "member", "remove", "-g", group, "--member-id", ana)
	check("false")
	sh.run("ad", "group", "delete", "-g", "feature readers")
	sh.run("ad", "user", "delete", "--id", "ana@example.org")
	if out, code := sh.try("", "ad", "user", "show", "--id", "ana@example.org"); code != cli.ExitNotFound {
		t.Errorf("a deleted user: exit %d: %s", code, out)
	}
}
