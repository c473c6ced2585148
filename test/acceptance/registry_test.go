package acceptance

import (
	"archive/tar"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/alvara-ml/alvara/access"
	"github.com/alvara-ml/alvara/test/testenv"
)

const (
	crane       = "github.com/google/go-containerregistry/cmd/crane"
	oras        = "oras.land/oras/cmd/oras"
	conformance = "github.com/opencontainers/distribution-spec/conformance"
	roleDelete  = "c2f4ef07-c644-48eb-af81-4b1b4947fb11"
)

// registryWorld is a server with a registry and people who may different things with it.
type registryWorld struct {
	env         *testenv.Env
	admin       *testenv.User
	id          string
	loginServer string
}

func newRegistry(t *testing.T, name string) *registryWorld {
	t.Helper()
	env := testenv.Start(t)
	w := &registryWorld{env: env, admin: env.Admin()}
	mustDo(t, w.admin, "PUT", env.Group("images"), map[string]any{"location": "local"})
	w.id, w.loginServer = w.create(t, name)
	return w
}

// create makes one more registry.
func (w *registryWorld) create(t *testing.T, name string) (id, loginServer string) {
	t.Helper()
	id = w.env.Group("images") + "/providers/Microsoft.ContainerRegistry/registries/" + name
	got := mustDo(t, w.admin, "PUT", id, map[string]any{"location": "local", "sku": map[string]any{"name": "Premium"}, "properties": map[string]any{}})
	return id, got.Text("properties.loginServer")
}

// layer makes a layer with one file.
func layer(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "layer.tar")
	file, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	archive := tar.NewWriter(file)
	if err := archive.WriteHeader(&tar.Header{Name: "text", Mode: 0o644, Size: int64(len(text))}); err != nil {
		t.Fatal(err)
	}
	if _, err := archive.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	if err := archive.Close(); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestOCIConformance runs the conformance program of the OCI distribution specification, unmodified, with authorization on:
// its user is an identity with AcrPush and AcrDelete and nothing else (BX-05, BX-08).
func TestOCIConformance(t *testing.T) {
	w := newRegistry(t, "conformance")
	program := testenv.Tool(t, conformance)
	user := w.env.ServicePrincipal("conformance")
	w.admin.Grant(user.ObjectID, access.RoleAcrPush, w.id)
	w.admin.Grant(user.ObjectID, roleDelete, w.id)
	results := t.TempDir()
	settings := filepath.Join(results, "settings.yaml") // empty: all is in the environment
	if err := os.WriteFile(settings, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	env := append(os.Environ(), "OCI_REGISTRY="+w.loginServer, "OCI_USERNAME=00000000-0000-0000-0000-000000000000", "OCI_PASSWORD="+user.RegistryToken(w.loginServer),
		"OCI_RESULTS_DIR="+results, "OCI_CONFIGURATION="+settings, "SSL_CERT_FILE="+w.env.Server.Endpoints.CAFile,
		"OCI_API_BLOBS_UPLOAD_CANCEL=true", "OCI_API_BLOBS_DIGEST_HEADER=true", "OCI_API_MANIFESTS_DIGEST_HEADER=true",
		"OCI_DATA_SHA512=false", // the engine's contents are named by SHA-256
	)
	out, err := testenv.Command(env, program)
	if err != nil {
		t.Fatal(err)
	}
	passed, failed := 0, 0
	for line := range strings.Lines(out) {
		switch line = strings.TrimSpace(line); {
		case strings.HasSuffix(line, "Pass"):
			passed++
		case strings.HasSuffix(line, "FAIL"), strings.Contains(line, "detected a failure"), strings.HasSuffix(line, "Error"):
			failed++
		}
	}
	if failed > 0 || passed < 100 {
		t.Errorf("%d areas passed:\n%s", passed, out)
	}
}

// client is a program with which people use registries.
type imageClient struct {
	name    string
	program func(t *testing.T) string
	// each gives the arguments of an operation on an image, whose repository holds also a tag for each client to delete.
	list, pull, push, remove, attach func(image, local string) []string
}

func clients() []imageClient {
	return []imageClient{
		{
			name: "crane", program: func(t *testing.T) string { return testenv.Tool(t, crane) },
			list: func(image, _ string) []string { return []string{"ls", image} },
			pull: func(image, local string) []string {
				return []string{"pull", image + ":v1", filepath.Join(local, "crane.tar")}
			},
			push: func(image, local string) []string {
				return []string{"append", "-f", filepath.Join(local, "layer.tar"), "-t", image + ":crane"}
			},
			remove: func(image, _ string) []string { return []string{"delete", image + ":remove-crane"} },
		},
		{
			name: "oras", program: func(t *testing.T) string { return testenv.Tool(t, oras) },
			list: func(image, _ string) []string { return []string{"repo", "tags", image} },
			pull: func(image, local string) []string {
				return []string{"copy", image + ":v1", "--to-oci-layout", filepath.Join(local, "oras-copy") + ":v1"}
			},
			push: func(image, local string) []string {
				return []string{"push", "--disable-path-validation", image + ":oras", filepath.Join(local, "layer.tar")}
			},
			remove: func(image, _ string) []string { return []string{"manifest", "delete", "-f", image + ":remove-oras"} },
			attach: func(image, local string) []string {
				return []string{"attach", "--disable-path-validation", "--artifact-type", "application/vnd.alvara.test", image + ":v1", filepath.Join(local, "layer.tar")}
			},
		},
		{
			name: "skopeo", program: func(t *testing.T) string {
				path, err := exec.LookPath("skopeo")
				if err != nil {
					t.Skip("skopeo is not installed; on Debian: apt-get install skopeo")
				}
				return path
			},
			list: func(image, _ string) []string { return []string{"list-tags", "docker://" + image} },
			pull: func(image, local string) []string {
				return []string{"copy", "docker://" + image + ":v1", "dir:" + filepath.Join(local, "skopeo")}
			},
			push: func(image, local string) []string {
				return []string{"copy", "--insecure-policy", "dir:" + filepath.Join(local, "image"), "docker://" + image + ":skopeo"}
			},
			remove: func(image, _ string) []string { return []string{"delete", "docker://" + image + ":remove-skopeo"} },
		},
	}
}

// TestRegistryClients has people use crane, oras and skopeo, as they are, on a registry: each operation is allowed or refused by the
// person's role (BX-05, BX-08, MI-08).
func TestRegistryClients(t *testing.T) {
	w := newRegistry(t, "clients")
	image := w.loginServer + "/team/app"
	everything := []string{"list", "pull", "push", "attach", "remove"}
	people := []struct {
		name  string
		roles []string
		scope string
		may   []string
	}{
		{"puller", []string{access.RoleAcrPull}, w.id, []string{"list", "pull"}},
		{"pusher", []string{access.RoleAcrPush}, w.id, []string{"list", "pull", "push", "attach"}},
		{"deleter", []string{access.RoleAcrPull, roleDelete}, w.id, []string{"list", "pull", "remove"}},
		{"reader", []string{access.RoleReader}, w.id, []string{"list", "pull"}},
		{"owner", []string{access.RoleOwner}, w.id, everything},
		{"of-the-repository", []string{access.RoleAcrPull}, w.id + "/repositories/team:app", []string{"list", "pull"}},
		{"of-another-repository", []string{access.RoleAcrPush, roleDelete}, w.id + "/repositories/team:other", nil},
		{"nobody", nil, w.id, nil},
	}
	local := t.TempDir()
	fill := func(text string) { // what is pushed next
		t.Helper()
		content, err := os.ReadFile(layer(t, text))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(local, "layer.tar"), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	fill("hello")
	owner := w.env.ServicePrincipal("preparing")
	w.admin.Grant(owner.ObjectID, access.RoleOwner, w.id)
	prepare := owner.DockerConfig(w.loginServer)
	must := func(program string, args ...string) {
		t.Helper()
		if _, err := testenv.Command(prepare, program, args...); err != nil {
			t.Fatal(err)
		}
	}
	must(testenv.Tool(t, crane), "append", "-f", filepath.Join(local, "layer.tar"), "-t", image+":v1")
	for _, person := range people {
		user := w.env.ServicePrincipal(person.name)
		for _, role := range person.roles {
			w.admin.Grant(user.ObjectID, role, person.scope)
		}
		env := user.DockerConfig(w.loginServer)
		for _, client := range clients() {
			t.Run(person.name+"/"+client.name, func(t *testing.T) {
				program := client.program(t)
				fill("pushed by " + person.name + " with " + client.name)
				if client.name == "skopeo" {
					must(program, "copy", "docker://"+image+":v1", "dir:"+filepath.Join(local, "image"))
				}
				must(testenv.Tool(t, crane), "append", "-f", layer(t, person.name+client.name), "-t", image+":remove-"+client.name)
				for _, operation := range []struct {
					name string
					args func(image, local string) []string
				}{{"list", client.list}, {"pull", client.pull}, {"push", client.push}, {"attach", client.attach}, {"remove", client.remove}} {
					if operation.args == nil {
						continue
					}
					out, err := testenv.Command(env, program, operation.args(image, local)...)
					switch may := slices.Contains(person.may, operation.name); {
					case may && err != nil:
						t.Errorf("%s: %v", operation.name, err)
					case !may && err == nil:
						t.Errorf("%s was not refused: %s", operation.name, out)
					case !may && !refusal(out):
						t.Errorf("%s fails without saying that access is refused: %s", operation.name, out)
					}
				}
			})
		}
	}
}

// refusal tells whether a client's words say that access was refused.
func refusal(out string) bool {
	out = strings.ToLower(out)
	return slices.ContainsFunc([]string{"denied", "unauthorized", "403", "forbidden", "authentication required"}, func(word string) bool { return strings.Contains(out, word) })
}

// TestRegistryRevocation takes a role away between two requests of clients that hold tokens already (BX-05).
func TestRegistryRevocation(t *testing.T) {
	w := newRegistry(t, "revocation")
	program := testenv.Tool(t, crane)
	user := w.env.ServicePrincipal("pusher")
	grant := w.admin.Grant(user.ObjectID, access.RoleAcrPush, w.id)
	env := user.DockerConfig(w.loginServer)
	push := func(tag string) error {
		_, err := testenv.Command(env, program, "append", "-f", layer(t, tag), "-t", w.loginServer+"/app:"+tag)
		return err
	}
	if err := push("one"); err != nil {
		t.Fatal(err)
	}
	mustDo(t, w.admin, "DELETE", grant, nil)
	if err := push("two"); err == nil {
		t.Fatal("a push after the role was taken away is not refused")
	}
	w.admin.Grant(user.ObjectID, access.RoleAcrPush, w.id)
	if err := push("three"); err != nil {
		t.Fatalf("after the role was given again: %v", err)
	}
	if err := w.env.Server.Directory().DeleteServicePrincipal(t.Context(), user.ObjectID); err != nil {
		t.Fatal(err)
	}
	if err := push("four"); err == nil {
		t.Fatal("a push of an identity that is no more is not refused")
	}
}

// TestRegistryAdminUser shows that the admin user's passwords work while it is on, and stop with it, while identities go on
// (MI-02, BX-01).
func TestRegistryAdminUser(t *testing.T) {
	w := newRegistry(t, "adminuser")
	program := testenv.Tool(t, crane)
	credentials := func() testenv.Answer { return w.admin.Do("POST", w.id+"/listCredentials", map[string]any{}) }
	env := append(os.Environ(), "DOCKER_CONFIG="+t.TempDir(), "SSL_CERT_FILE="+w.env.Server.Endpoints.CAFile)
	signIn := func() {
		t.Helper()
		got := credentials()
		passwords, _ := got.Body["passwords"].([]any)
		if got.Status != 200 || got.Text("username") != "adminuser" || len(passwords) != 2 {
			t.Fatalf("listCredentials: %d %s", got.Status, got.Raw)
		}
		password, _ := passwords[0].(map[string]any)["value"].(string)
		if _, err := testenv.Command(env, program, "auth", "login", w.loginServer, "-u", "adminuser", "-p", password); err != nil {
			t.Fatal(err)
		}
	}
	if got := credentials(); got.Status != 400 || got.Code() != "UnAuthorizedForCredentialOperations" {
		t.Fatalf("listCredentials while the admin user is off: %d %s", got.Status, got.Raw)
	}
	set := func(on bool) {
		t.Helper()
		mustDo(t, w.admin, "PATCH", w.id, map[string]any{"properties": map[string]any{"adminUserEnabled": on}})
	}
	set(true)
	signIn()
	push := func(env []string, tag string) error {
		_, err := testenv.Command(env, program, "append", "-f", layer(t, tag), "-t", fmt.Sprintf("%s/app:%s", w.loginServer, tag))
		return err
	}
	if err := push(env, "admin"); err != nil {
		t.Fatal(err)
	}
	user := w.env.ServicePrincipal("identity")
	w.admin.Grant(user.ObjectID, access.RoleAcrPush, w.id)
	identity := user.DockerConfig(w.loginServer)
	set(false)
	if err := push(env, "off"); err == nil {
		t.Error("the admin user pushes after it was turned off")
	}
	if err := push(identity, "identity"); err != nil {
		t.Errorf("an identity while the admin user is off: %v", err)
	}
	set(true)
	if err := push(env, "old"); err == nil {
		t.Error("a password from before the admin user was turned off works after it was turned on again")
	}
	signIn()
	if err := push(env, "on"); err != nil {
		t.Errorf("the admin user after it was turned on again: %v", err)
	}
	mustDo(t, w.admin, "POST", w.id+"/regenerateCredential", map[string]any{"name": "password"})
	if err := push(env, "renewed"); err == nil {
		t.Error("a password works after it was renewed")
	}
}
