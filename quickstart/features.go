package quickstart

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	"github.com/alvara-ml/alvara/examples/fraud"
)

// The names of what the features act makes.
const (
	group       = "fraud"
	store       = "fraud-features"
	account     = "fraudsource"
	container   = "fraud"
	windowStart = "2020-01-01"
	windowEnd   = "2023-07-01"
)

// person is somebody of the tour.
type person struct {
	AppID    string `json:"appId"`
	Password string `json:"password"`
	Tenant   string `json:"tenant"`
}

// features is the first act: a feature store whose every access is decided by role.
func (t *tour) features() error {
	for _, chapter := range []func() error{
		t.prepare, t.source, t.makeStore, t.people, t.develop, t.backfill, t.consume, t.refusals, t.revocation,
	} {
		if err := chapter(); err != nil {
			return err
		}
	}
	return nil
}

func (t *tour) folder(parts ...string) string {
	return filepath.Join(append([]string{t.Dir, "quickstart"}, parts...)...)
}

func (t *tour) prepare() error {
	t.title("Sign in: whoever owns the data folder is the administrator, without a password")
	t.as("admin")
	if _, err := t.run("login", "--local", "--data", t.Dir); err != nil {
		return err
	}
	if _, err := t.run("group", "create", "-n", group, "-l", "local"); err != nil {
		return err
	}
	return t.show("account", "show", "-o", "table")
}

// source makes the data and puts it into a storage account.
func (t *tour) source() error {
	t.title("Source data: %d transactions of %d accounts, 2020-01 to 2023-06, as parquet in a storage account", t.Size.Transactions, t.Size.Accounts)
	data := t.folder("data")
	if _, err := os.Stat(filepath.Join(data, ".complete")); err != nil {
		progress := t.bar("making data")
		if err := fraud.Generate(t.ctx, data, t.Size, 20230630, progress.update); err != nil {
			return err
		}
		progress.end()
		if err := os.WriteFile(filepath.Join(data, ".complete"), nil, 0o644); err != nil {
			return err
		}
	}
	if _, err := t.run("storage", "account", "create", "-n", account, "-g", group, "-l", "local"); err != nil {
		return err
	}
	me, err := t.field("id", "ad", "signed-in-user", "show")
	if err != nil {
		return err
	}
	scope, err := t.field("id", "storage", "account", "show", "-n", account, "-g", group)
	if err != nil {
		return err
	}
	t.say("  Even the administrator reads and writes no data without a role for data:")
	if _, err := t.run("role", "assignment", "create", "--assignee", me, "--role", "Storage Blob Data Contributor", "--scope", scope); err != nil {
		return err
	}
	if _, err := t.run("storage", "container", "create", "-n", container, "--account-name", account); err != nil {
		return err
	}
	for _, part := range []string{fraud.Transactions, fraud.Accounts} {
		if _, err := t.run("storage", "blob", "upload-batch", "--account-name", account, "-d", container, "--destination-path", part, "-s", filepath.Join(data, part), "--overwrite"); err != nil {
			return err
		}
	}
	return t.show("storage", "blob", "list", "--account-name", account, "-c", container, "--prefix", "accounts/", "-o", "table")
}

func (t *tour) makeStore() error {
	t.title("A feature store, with storage, vault, registry and the identity that its jobs run as")
	if err := fraud.Copy(t.folder("fraud"), account); err != nil {
		return err
	}
	if _, err := t.run("ml", "feature-store", "create", "-f", t.folder("fraud", "featurestore.yaml"), "-g", group); err != nil {
		return err
	}
	return t.show("ml", "feature-store", "show", "-n", store, "-g", group, "--query", "{name: name, state: provisioning_state, identity: materialization_identity.resource_id, offline: offline_store.target}", "-o", "yaml")
}

// people makes a developer, a consumer and a stranger, and grants roles.
func (t *tour) people() error {
	t.title("People and roles: a developer, a consumer, a stranger, and the materialization identity")
	storeID, err := t.field("id", "ml", "feature-store", "show", "-n", store, "-g", group)
	if err != nil {
		return err
	}
	source, err := t.field("id", "storage", "account", "show", "-n", account, "-g", group)
	if err != nil {
		return err
	}
	offline, err := t.field("offline_store.target", "ml", "feature-store", "show", "-n", store, "-g", group)
	if err != nil {
		return err
	}
	identity, err := t.field("materialization_identity.principal_id", "ml", "feature-store", "show", "-n", store, "-g", group)
	if err != nil {
		return err
	}
	role, err := t.consumerRole(storeID)
	if err != nil {
		return err
	}
	for _, who := range []struct {
		name   string
		grants [][2]string
	}{
		{"developer", [][2]string{{"AzureML Data Scientist", storeID}, {"Storage Blob Data Reader", source}, {"Storage Blob Data Reader", offline}}},
		{"consumer", [][2]string{{role, storeID}, {"Storage Blob Data Reader", source}, {"Storage Blob Data Reader", offline}}},
		{"stranger", nil},
	} {
		var made person
		if err := t.quietly(&made, "ad", "sp", "create-for-rbac", "-n", "quickstart-"+who.name); err != nil {
			return err
		}
		for _, grant := range who.grants {
			if _, err := t.run("role", "assignment", "create", "--assignee", made.AppID, "--role", grant[0], "--scope", grant[1]); err != nil {
				return err
			}
		}
		if err := t.signIn(who.name, made); err != nil {
			return err
		}
	}
	if _, err := t.run("role", "assignment", "create", "--assignee", identity, "--role", "Storage Blob Data Reader", "--scope", source); err != nil {
		return err
	}
	return t.show("role", "assignment", "list", "--scope", storeID, "-o", "table")
}

// consumerRole makes the document's minimal role of a consumer: it can discover and read, and writes nothing.
func (t *tour) consumerRole(storeID string) (string, error) {
	const name = "Feature set consumer"
	have, err := t.field("length(@)", "role", "definition", "list", "--name", name, "-g", group)
	if err != nil || have != "0" {
		return name, err
	}
	const provider = "Microsoft.MachineLearningServices/workspaces/"
	scope, err := t.field("id", "group", "show", "-n", group)
	if err != nil {
		return "", err
	}
	definition, err := json.Marshal(map[string]any{
		"Name": name, "Description": "Discovers and retrieves features", "AssignableScopes": []string{scope},
		"Actions": []string{provider + "featurestores/read", provider + "featuresets/read", provider + "featurestoreentities/read", provider + "datastores/listSecrets/action", provider + "jobs/read"},
	})
	if err != nil {
		return "", err
	}
	_, err = t.run("role", "definition", "create", "--role-definition", string(definition))
	return name, err
}

func (t *tour) signIn(name string, who person) error {
	admin := t.actor
	defer t.as(admin)
	t.as(name)
	_, err := t.run("login", "--service-principal", "-u", who.AppID, "-p", who.Password, "--tenant", who.Tenant, "--data", t.Dir)
	return err
}

func (t *tour) develop() error {
	t.title("The developer registers an entity and two feature sets")
	t.as("developer")
	if _, err := t.run("ml", "feature-store-entity", "create", "-f", t.folder("fraud", "account.yaml"), "--feature-store", store, "-g", group); err != nil {
		return err
	}
	for _, set := range []string{"transactions", "accounts"} {
		if _, err := t.run("ml", "feature-set", "create", "-f", t.folder("fraud", set+".yaml"), "--feature-store", store, "-g", group); err != nil {
			return err
		}
	}
	return t.show("ml", "feature-set", "list", "--feature-store", store, "-g", group, "-o", "table")
}

func (t *tour) backfill() error {
	t.title("The developer backfills offline and online; the jobs run as the store's identity")
	for _, set := range []string{"transactions", "accounts"} {
		if err := t.materialize(set); err != nil {
			return err
		}
	}
	return t.show("ml", "feature-set", "list-materialization-operation", "-n", "transactions", "-v", "1", "--feature-store", store, "-g", group, "-o", "table")
}

func (t *tour) materialize(set string) error {
	_, err := t.run("ml", "feature-set", "backfill", "-n", set, "-v", "1", "--feature-window-start-time", windowStart, "--feature-window-end-time", windowEnd,
		"--data-status", "None", "Incomplete", "Complete", "--feature-store", store, "-g", group, "--wait")
	return err
}

func (t *tour) consume() error {
	t.title("The consumer retrieves a training set, point in time, and looks three accounts up online")
	t.as("consumer")
	train := t.folder("train.parquet")
	if err := t.show("features", "get-offline", "--feature-store", store, "-g", group, "--features", "transactions:1", "accounts:1:accountAge", "accounts:1:accountCountry",
		"--observations", t.folder("data", fraud.Observations), "--timestamp-column", "timestamp", "--out", train); err != nil {
		return err
	}
	return t.show("features", "get-online", "--feature-store", store, "-g", group, "--features", "transactions:1:transaction_7d_count", "transactions:1:transaction_amount_7d_sum", "accounts:1:accountAge",
		"--keys", "accountID=A1,A2,A3", "-o", "table")
}

func (t *tour) refusals() error {
	t.title("What is refused, and why")
	t.say("The consumer may read feature sets and not write them:")
	t.as("consumer")
	if err := t.refused("ml", "feature-set", "update", "-n", "transactions", "-v", "1", "--feature-store", store, "-g", group, "--description", "mine now"); err != nil {
		return err
	}
	t.say("A stranger, with a valid token and no role, sees nothing:")
	t.as("stranger")
	return t.refused("features", "get-online", "--feature-store", store, "-g", group, "--features", "transactions:1", "--keys", "accountID=A1")
}

// revocation takes the identity's role on the source away, and gives it back.
func (t *tour) revocation() error {
	t.title("Take the materialization identity's role on the source away: the next job fails, and says why")
	t.as("admin")
	source, err := t.field("id", "storage", "account", "show", "-n", account, "-g", group)
	if err != nil {
		return err
	}
	identity, err := t.field("materialization_identity.principal_id", "ml", "feature-store", "show", "-n", store, "-g", group)
	if err != nil {
		return err
	}
	grant := []string{"--assignee", identity, "--role", "Storage Blob Data Reader", "--scope", source}
	if _, err := t.run(append([]string{"role", "assignment", "delete", "--yes"}, grant...)...); err != nil {
		return err
	}
	t.as("developer")
	again := []string{"ml", "feature-set", "backfill", "-n", "accounts", "-v", "1", "--feature-window-start-time", "2023-03-01", "--feature-window-end-time", "2023-04-01",
		"--data-status", "None", "Incomplete", "Complete", "--feature-store", store, "-g", group, "--wait"}
	if err := t.refused(again...); err != nil {
		return err
	}
	t.say("The role is given back, and the same command succeeds:")
	t.as("admin")
	if _, err := t.run(append([]string{"role", "assignment", "create"}, grant...)...); err != nil {
		return err
	}
	t.as("developer")
	if err := t.show(append(again, "-o", "yaml")...); err != nil {
		return fmt.Errorf("with the role given back: %w", err)
	}
	return nil
}
