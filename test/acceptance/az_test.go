package acceptance

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/alvara-ml/alvara/access"
	"github.com/alvara-ml/alvara/test/testenv"
)

// azWorld is az, unchanged, signed in to a server as a service principal that owns the subscription.
type azWorld struct {
	t       *testing.T
	program string
	env     []string
}

func newAz(t *testing.T) *azWorld {
	t.Helper()
	if testing.Short() {
		t.Skip("az takes a minute: each command starts an interpreter")
	}
	program, err := exec.LookPath("az")
	if err != nil {
		t.Skip("az is not in PATH; pip install azure-cli brings it")
	}
	env := testenv.Start(t)
	e := env.Server.Endpoints
	owner := env.ServicePrincipal("az")
	env.Admin().Grant(owner.ObjectID, access.RoleOwner, "/subscriptions/"+e.Subscription)
	w := &azWorld{t: t, program: program, env: append(os.Environ(), "AZURE_CONFIG_DIR="+t.TempDir(), "AZURE_CORE_COLLECT_TELEMETRY=no", "AZURE_CORE_INSTANCE_DISCOVERY=false",
		"AZURE_CORE_ONLY_SHOW_ERRORS=true", "REQUESTS_CA_BUNDLE="+e.CAFile, "SSL_CERT_FILE="+e.CAFile)}
	w.ok("cloud", "register", "-n", "Alvara", "--endpoint-resource-manager", e.ResourceManager)
	w.ok("cloud", "set", "-n", "Alvara")
	w.ok("login", "--service-principal", "-u", owner.ClientID, "-p", owner.Secret, "-t", e.Tenant, "-o", "none")
	return w
}

// ok runs a command that must succeed and gives what it printed, without the spaces around it.
func (w *azWorld) ok(args ...string) string {
	w.t.Helper()
	out, err := testenv.Command(w.env, w.program, args...)
	if err != nil {
		w.t.Fatal(err)
	}
	return strings.TrimSpace(out)
}

// is runs a command with -o tsv and compares what it printed.
func (w *azWorld) is(want string, args ...string) {
	w.t.Helper()
	if got := w.ok(append(args, "-o", "tsv")...); got != want {
		w.t.Errorf("az %s: %q; %q was expected", strings.Join(args, " "), got, want)
	}
}

// refused runs a command that must fail and say some words.
func (w *azWorld) refused(words string, args ...string) {
	w.t.Helper()
	out, err := testenv.Command(w.env, w.program, args...)
	if err == nil || !strings.Contains(out, words) {
		w.t.Errorf("az %s: %v, %q; a failure with %q was expected", strings.Join(args, " "), err, out, words)
	}
}

// BX-08, MI-02, MI-08, MI-11: az as it is creates registries, turns the admin user on and off, gives roles, builds an image by
// identity, manages repositories, and deletes.
func TestAzRegistries(t *testing.T) {
	w := newAz(t)
	w.ok("group", "create", "-n", "images", "-l", "local")
	w.is("true", "acr", "check-name", "-n", "azregistry", "--query", "nameAvailable")
	w.is("false", "acr", "create", "-n", "azregistry", "-g", "images", "--sku", "Standard", "--query", "adminUserEnabled")
	w.is("AlreadyExists", "acr", "check-name", "-n", "azregistry", "--query", "reason")
	id := w.ok("acr", "show", "-n", "azregistry", "--query", "id", "-o", "tsv")

	w.refused("--admin-enabled true", "acr", "credential", "show", "-n", "azregistry")
	w.is("true", "acr", "update", "-n", "azregistry", "--admin-enabled", "true", "--query", "adminUserEnabled")
	first := w.ok("acr", "credential", "show", "-n", "azregistry", "--query", "passwords[0].value", "-o", "tsv")
	if renewed := w.ok("acr", "credential", "renew", "-n", "azregistry", "--password-name", "password", "--query", "passwords[0].value", "-o", "tsv"); renewed == first || renewed == "" {
		t.Errorf("the renewed password is %q", renewed)
	}
	w.is("false", "acr", "update", "-n", "azregistry", "--admin-enabled", "false", "--query", "adminUserEnabled")

	folder := t.TempDir()
	for name, text := range map[string]string{"Dockerfile": "FROM scratch\nARG WORDS\nLABEL words=$WORDS\nCOPY text /text\n", "Broken": "FROM scratch\nCOPY nothing /\n", "text": "hello\n"} {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	build := []string{"acr", "build", "-r", "azregistry", "-t", "team/app:1", "--build-arg", "WORDS=x", "--secret-build-arg", "HIDDEN=y", folder}
	w.refused("has no identity of its own", build...)
	builder := w.ok("acr", "identity", "assign", "-n", "azregistry", "--identities", "[system]", "--query", "identity.principalId", "-o", "tsv")
	w.refused("lacks AcrPush", build...)
	w.ok("role", "assignment", "create", "--assignee-object-id", builder, "--assignee-principal-type", "ServicePrincipal", "--role", "AcrPush", "--scope", id)
	if log := w.ok(build...); !strings.Contains(log, "Successfully tagged") || strings.Contains(log, "Run failed") {
		t.Errorf("the build says %s", log)
	}
	w.refused("Run failed", "acr", "build", "-r", "azregistry", "-t", "team/app:2", "-f", filepath.Join(folder, "Broken"), folder)
	if runs := w.ok("acr", "task", "list-runs", "-r", "azregistry", "--query", "[].status", "-o", "tsv"); strings.Join(strings.Fields(runs), " ") != "Failed Succeeded Failed" {
		t.Errorf("the runs are %q", runs)
	}
	if log := w.ok("acr", "task", "logs", "-r", "azregistry", "--run-id", "cr2"); !strings.Contains(log, "Successfully tagged") {
		t.Errorf("the log is %s", log)
	}

	w.is("team/app", "acr", "repository", "list", "-n", "azregistry")
	w.is("1", "acr", "repository", "show-tags", "-n", "azregistry", "--repository", "team/app")
	w.is("1", "acr", "manifest", "list-metadata", "-r", "azregistry", "-n", "team/app", "--query", "[].tags[]")
	w.ok("acr", "repository", "update", "-n", "azregistry", "--image", "team/app:1", "--write-enabled", "false")
	w.refused("locked", "acr", "repository", "untag", "-n", "azregistry", "--image", "team/app:1")
	w.ok("acr", "repository", "update", "-n", "azregistry", "--image", "team/app:1", "--write-enabled", "true")
	w.ok("acr", "repository", "untag", "-n", "azregistry", "--image", "team/app:1")
	w.ok("acr", "repository", "delete", "-n", "azregistry", "--repository", "team/app", "-y")
	w.is("", "acr", "repository", "list", "-n", "azregistry")

	client := w.ok("identity", "create", "-n", "puller", "-g", "images", "--query", "clientId", "-o", "tsv")
	condition := "((!(ActionMatches{'Microsoft.ContainerRegistry/registries/pull/read'})) OR (@Request[Microsoft.ContainerRegistry/registries/repositories:name] StringStartsWith 'team/'))"
	grant := []string{"role", "assignment", "create", "--assignee", client, "--role", "AcrPull", "--scope", id, "--condition-version", "2.0", "--condition", condition, "--query", "name", "-o", "tsv"}
	if made, again := w.ok(grant...), w.ok(grant...); made != again {
		t.Errorf("the same grant twice is %s and %s", made, again)
	}
	w.is(condition, "role", "assignment", "list", "--scope", id, "--query", "[?principalName=='"+client+"' && roleDefinitionName=='AcrPull'].condition")
	w.ok("role", "assignment", "delete", "--assignee", client, "--role", "AcrPull", "--scope", id)
	w.is("AcrPush", "role", "assignment", "list", "--scope", id, "--query", "[].roleDefinitionName")

	if token := w.ok("acr", "login", "-n", "azregistry", "--expose-token", "--query", "refreshToken", "-o", "tsv"); strings.Count(token, ".") != 2 {
		t.Errorf("the token is %q", token)
	}
	w.ok("acr", "delete", "-n", "azregistry", "-y")
	w.is("", "acr", "list", "--query", "[].name")
}
