// Package storage provides the Microsoft.Storage namespace: storage accounts, their blob service and its containers as
// resources, and the catalog by which the blob plane finds them. The bytes are the blob plane's.
package storage

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"regexp"
	"strings"

	"github.com/alvara-ml/alvara/arm"
	"github.com/alvara-ml/alvara/identity"
	"github.com/alvara-ml/alvara/resource"
	"github.com/alvara-ml/alvara/store"
)

const (
	accountType   resource.Type = "Microsoft.Storage/storageAccounts"
	serviceType                 = accountType + "/blobServices"
	containerType               = serviceType + "/containers"
)

var apiVersions = []string{"2023-05-01", "2022-09-01", "2021-09-01"}

// Deps is what the namespace works with.
type Deps struct {
	Sealer identity.Sealer
	// Endpoints gives the blob and dfs URLs of an account, ending in a slash.
	Endpoints func(account string) (blob, dfs string)
	// Reserved is the name of the account that the server keeps for itself, which nobody can make; "" for none.
	Reserved string
	// Drop forgets the bytes of a container.
	Drop func(ctx context.Context, containerKey string) error
}

// Account is the properties of a storage account.
type Account struct {
	AllowSharedKeyAccess         bool           `json:"allowSharedKeyAccess"` // off unless somebody turns it on (BX-01)
	AllowBlobPublicAccess        bool           `json:"allowBlobPublicAccess"`
	SupportsHTTPSTrafficOnly     bool           `json:"supportsHttpsTrafficOnly"`
	IsHNSEnabled                 bool           `json:"isHnsEnabled"`
	MinimumTLSVersion            string         `json:"minimumTlsVersion,omitempty"`
	AccessTier                   string         `json:"accessTier,omitempty"`
	DefaultToOAuthAuthentication bool           `json:"defaultToOAuthAuthentication"`
	PrimaryEndpoints             *Endpoints     `json:"primaryEndpoints,omitempty"`
	PrimaryLocation              string         `json:"primaryLocation,omitempty"`
	StatusOfPrimary              string         `json:"statusOfPrimary,omitempty"`
	CreationTime                 string         `json:"creationTime,omitempty"`
	NetworkACLs                  map[string]any `json:"networkAcls,omitempty"`
	Encryption                   map[string]any `json:"encryption,omitempty"`
	SealedKeys                   []byte         `json:"sealedKeys,omitempty"` // two keys, sealed; never shown
}

// Endpoints are the URLs of an account's services.
type Endpoints struct {
	Blob string `json:"blob"`
	DFS  string `json:"dfs"`
}

// Accounts declares storage accounts.
func (d Deps) Accounts() arm.Type {
	return arm.Define(arm.Spec[Account]{
		Type: accountType, Tracked: true, Identities: true, GlobalName: true, Created: 200, APIVersions: apiVersions,
		Name: regexp.MustCompile(`^[a-z0-9]{3,24}$`), NameRule: "3 to 24 lower-case letters and digits",
		Validate: d.validateAccount,
		Commit:   d.accountService,
		Present:  d.presentAccount,
		Actions: []arm.Action[Account]{
			{Name: "listKeys", Permission: string(accountType) + "/listKeys/action", Run: d.listKeys},
			{Name: "regenerateKey", Permission: string(accountType) + "/regeneratekey/action", Run: d.regenerateKey},
		},
	})
}

func (d Deps) validateAccount(_ context.Context, change *arm.Change[Account]) error {
	p := &change.Next.Properties
	if d.reserved(change.Next.ID.Name()) {
		return resource.Conflictf("StorageAccountAlreadyTaken", "The storage account named %s is already taken: the server keeps it for itself; choose another name", change.Next.ID.Name()).At("name")
	}
	if p.AllowBlobPublicAccess {
		return resource.Errorf(resource.Unsupported, "PublicAccessNotPermitted", "properties.allowBlobPublicAccess: anonymous access is not offered; grant Storage Blob Data Reader to who should read").At("properties.allowBlobPublicAccess")
	}
	p.SupportsHTTPSTrafficOnly = true
	p.MinimumTLSVersion = "TLS1_2"
	if p.AccessTier == "" {
		p.AccessTier = "Hot"
	}
	p.PrimaryEndpoints, p.SealedKeys = nil, nil
	p.PrimaryLocation, p.StatusOfPrimary = change.Next.Location, "available"
	p.CreationTime = change.Manager.Clock().UTC().Format("2006-01-02T15:04:05.0000000Z")
	if change.Next.Kind == "" {
		change.Next.Kind = "StorageV2"
	}
	if change.Next.SKU == nil {
		change.Next.SKU = json.RawMessage(`{"name":"Standard_LRS","tier":"Standard"}`)
	}
	if change.Prev != nil {
		p.CreationTime, p.SealedKeys = change.Prev.Properties.CreationTime, change.Prev.Properties.SealedKeys
		return nil
	}
	keys, err := d.seal(change.Next.ID, newKey(), newKey())
	p.SealedKeys = keys
	return err
}

func (d Deps) reserved(name string) bool {
	return d.Reserved != "" && strings.EqualFold(name, d.Reserved)
}

func newKey() string {
	key := make([]byte, 64)
	_, _ = rand.Read(key) // never fails: the runtime ends the program instead
	return base64.StdEncoding.EncodeToString(key)
}

func (d Deps) seal(id resource.ID, keys ...string) ([]byte, error) {
	return d.Sealer.Seal([]byte(strings.Join(keys, "\n")), []byte(id.Key()+"/keys"))
}

func (d Deps) open(id resource.ID, sealed []byte) ([]string, error) {
	text, err := d.Sealer.Open(sealed, []byte(id.Key()+"/keys"))
	return strings.Split(string(text), "\n"), err
}

// accountService makes the account's blob service, which is part of it, along with it.
func (d Deps) accountService(_ context.Context, change *arm.Change[Account]) ([]store.Op, error) {
	if change.Prev != nil {
		return nil, nil
	}
	put, err := arm.Document(&arm.Resource[Service]{ID: change.Next.ID.Child("blobServices", "default"), Name: "default", Type: serviceType, SystemData: change.Call.SystemData(nil)})
	return []store.Op{put}, err
}

func (d Deps) presentAccount(_ context.Context, _ *arm.Call, r *arm.Resource[Account]) {
	blob, dfs := d.Endpoints(strings.ToLower(r.Name))
	r.Properties.PrimaryEndpoints = &Endpoints{Blob: blob, DFS: dfs}
	r.Properties.SealedKeys = nil
}

func (d Deps) listKeys(_ context.Context, _ *arm.Call, r *arm.Resource[Account]) (any, error) {
	if !r.Properties.AllowSharedKeyAccess {
		return nil, keysOff(r.ID)
	}
	keys, err := d.open(r.ID, r.Properties.SealedKeys)
	if err != nil {
		return nil, err
	}
	return shownKeys(r.Properties.CreationTime, keys), nil
}

func keysOff(id resource.ID) error {
	return resource.Forbiddenf("KeyBasedAuthenticationNotPermitted", "Key based authentication is not permitted on the storage account '%s', so it has no keys to give. Sign in and use a token; whoever insists on keys can set properties.allowSharedKeyAccess.", id)
}

func shownKeys(created string, keys []string) map[string]any {
	values := []any{}
	for i, key := range keys {
		values = append(values, map[string]any{"keyName": []string{"key1", "key2"}[i], "value": key, "permissions": "FULL", "creationTime": created})
	}
	return map[string]any{"keys": values}
}

func (d Deps) regenerateKey(ctx context.Context, call *arm.Call, r *arm.Resource[Account]) (any, error) {
	if !r.Properties.AllowSharedKeyAccess {
		return nil, keysOff(r.ID)
	}
	var body struct {
		KeyName string `json:"keyName"`
	}
	if err := json.Unmarshal(call.Body, &body); err != nil || (body.KeyName != "key1" && body.KeyName != "key2") {
		return nil, resource.Invalidf("InvalidKeyName", "keyName is %q; key1 or key2 was expected", body.KeyName).At("keyName")
	}
	keys, err := d.open(r.ID, r.Properties.SealedKeys)
	if err != nil {
		return nil, err
	}
	keys[map[string]int{"key1": 0, "key2": 1}[body.KeyName]] = newKey()
	if r.Properties.SealedKeys, err = d.seal(r.ID, keys...); err != nil {
		return nil, err
	}
	put, err := arm.Document(r)
	if err != nil {
		return nil, err
	}
	put.IfMatch = r.ETag
	if _, err := call.Manager.Store.Apply(ctx, put); err != nil {
		if resource.KindOf(err) == resource.PreconditionFailed {
			err = resource.Conflictf("ResourceChanged", "The storage account '%s' was changed by someone else at the same time; repeat the request.", r.Name).Because(err)
		}
		return nil, err
	}
	return shownKeys(r.Properties.CreationTime, keys), nil
}

// NameViews tells whether an account name is free.
func (d Deps) NameViews() []arm.View {
	return []arm.View{{
		Method: "POST", Pattern: "/subscriptions/{subscription}/providers/Microsoft.Storage/checkNameAvailability",
		Action: "Microsoft.Storage/checkNameAvailability/read",
		Scope: func(params map[string]string) resource.ID {
			id, err := resource.ParseID("/subscriptions/" + params["subscription"])
			if err != nil {
				return resource.Root
			}
			return id
		},
		Run: func(ctx context.Context, call *arm.Call, _ map[string]string) (any, error) {
			var body struct {
				Name string `json:"name"`
			}
			if err := json.Unmarshal(call.Body, &body); err != nil {
				return nil, resource.Invalidf("InvalidRequestContent", "the request body is not valid JSON: %v", err)
			}
			if d.reserved(body.Name) {
				return map[string]any{"nameAvailable": false, "reason": "AlreadyExists", "message": "The storage account named " + body.Name + " is already taken."}, nil
			}
			docs, err := call.Manager.Store.List(ctx, store.Query{Kind: accountType.Key()})
			if err != nil {
				return nil, err
			}
			for _, doc := range docs {
				if strings.HasSuffix(doc.Key, "/"+strings.ToLower(body.Name)) {
					return map[string]any{"nameAvailable": false, "reason": "AlreadyExists", "message": "The storage account named " + body.Name + " is already taken."}, nil
				}
			}
			return map[string]any{"nameAvailable": true}, nil
		},
	}}
}
