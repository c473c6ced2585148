package acceptance

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/cloud"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/streaming"
	"github.com/Azure/azure-sdk-for-go/sdk/containers/azcontainerregistry"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/containerregistry/armcontainerregistry"
	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/alvara-ml/alvara/access"
)

func (c *client) registries() *armcontainerregistry.ClientFactory {
	return done(armcontainerregistry.NewClientFactory(c.azure.subscription, c.credential, c.azure.armOptions()))(c.azure.t)
}

// artifacts gives the clients of a registry's own plane.
func (c *client) artifacts(loginServer string) (*azcontainerregistry.Client, *azcontainerregistry.BlobClient) {
	options := c.azure.options()
	options.Cloud.Services[azcontainerregistry.ServiceName] = cloud.ServiceConfiguration{Audience: "https://containerregistry.azure.net"}
	endpoint := "https://" + loginServer
	return done(azcontainerregistry.NewClient(endpoint, c.credential, &azcontainerregistry.ClientOptions{ClientOptions: options}))(c.azure.t),
		done(azcontainerregistry.NewBlobClient(endpoint, c.credential, &azcontainerregistry.BlobClientOptions{ClientOptions: options}))(c.azure.t)
}

// registry makes a registry as the owner and gives its id and login server.
func (a *azure) registry(group, name string, identity armcontainerregistry.ResourceIdentityType) (id, loginServer string) {
	a.t.Helper()
	made := polled(a.owner.registries().NewRegistriesClient().BeginCreate(a.t.Context(), group, name, armcontainerregistry.Registry{
		Location: ptr("local"), SKU: &armcontainerregistry.SKU{Name: ptr(armcontainerregistry.SKUNameStandard)}, Identity: &armcontainerregistry.IdentityProperties{Type: &identity},
	}, nil))(a.t)
	return *made.ID, *made.Properties.LoginServer
}

// MI-02, BX-01, BX-08: registries as resources. The admin user is off unless somebody turns it on, and its passwords are for those who
// may list them, for as long as it is on.
func TestSDKRegistries(t *testing.T) {
	a := newAzure(t)
	a.group("rg")
	id, loginServer := a.registry("rg", "firstregistry", armcontainerregistry.ResourceIdentityTypeSystemAssigned)
	ctx, registries := t.Context(), a.owner.registries().NewRegistriesClient()
	got := done(registries.Get(ctx, "rg", "firstregistry", nil))(t)
	p := got.Properties
	if *p.AdminUserEnabled || *p.LoginServer != loginServer || *p.ProvisioningState != armcontainerregistry.ProvisioningStateSucceeded || p.CreationDate.IsZero() || *got.Identity.PrincipalID == "" {
		t.Fatalf("the registry is %+v", *p)
	}
	_, err := registries.ListCredentials(ctx, "rg", "firstregistry", nil)
	refused(t, "credentials while the admin user is off", err, 400, "UnAuthorizedForCredentialOperations")
	_, err = registries.RegenerateCredential(ctx, "rg", "firstregistry", armcontainerregistry.RegenerateCredentialParameters{Name: ptr(armcontainerregistry.PasswordNamePassword)}, nil)
	refused(t, "a new password while the admin user is off", err, 400, "UnAuthorizedForCredentialOperations")

	admin := func(on bool) {
		t.Helper()
		updated := polled(registries.BeginUpdate(ctx, "rg", "firstregistry", armcontainerregistry.RegistryUpdateParameters{
			Properties: &armcontainerregistry.RegistryPropertiesUpdateParameters{AdminUserEnabled: &on}, Tags: map[string]*string{"a": ptr("b")}}, nil))(t)
		if *updated.Properties.AdminUserEnabled != on || *updated.Tags["a"] != "b" || *updated.Properties.LoginServer != loginServer {
			t.Fatalf("updated to %+v", *updated.Properties)
		}
	}
	signIn := func(password string) error {
		c := &registryClient{server: loginServer}
		return remote.Write(c.ref("app:1"), firstOf(smallImage()), remote.WithTransport(a.env.HTTP.Transport), remote.WithAuth(&authn.Basic{Username: "firstregistry", Password: password}))
	}
	admin(true)
	credentials := done(registries.ListCredentials(ctx, "rg", "firstregistry", nil))(t)
	if *credentials.Username != "firstregistry" || len(credentials.Passwords) != 2 {
		t.Fatalf("the credentials are %+v", credentials)
	}
	for _, password := range credentials.Passwords {
		if err := signIn(*password.Value); err != nil {
			t.Errorf("a push with %s: %v", *password.Name, err)
		}
	}
	renewed := done(registries.RegenerateCredential(ctx, "rg", "firstregistry", armcontainerregistry.RegenerateCredentialParameters{Name: ptr(armcontainerregistry.PasswordNamePassword2)}, nil))(t)
	if *renewed.Passwords[0].Value != *credentials.Passwords[0].Value || *renewed.Passwords[1].Value == *credentials.Passwords[1].Value || signIn(*credentials.Passwords[1].Value) == nil {
		t.Error("the second password was renewed, and it alone")
	}
	usages := done(registries.ListUsages(ctx, "rg", "firstregistry", nil))(t)
	if len(usages.Value) != 2 || *usages.Value[0].Name != "Size" || *usages.Value[0].CurrentValue == 0 || *usages.Value[0].Limit != 100<<30 {
		text, _ := json.Marshal(usages)
		t.Errorf("the usages are %s", text)
	}
	admin(false)
	if signIn(*renewed.Passwords[0].Value) == nil {
		t.Error("a password works while the admin user is off")
	}

	check := func(name string) armcontainerregistry.RegistryNameStatus {
		return done(registries.CheckNameAvailability(ctx, armcontainerregistry.RegistryNameCheckRequest{Name: &name, Type: ptr("Microsoft.ContainerRegistry/registries")}, nil))(t).RegistryNameStatus
	}
	if taken := check("FirstRegistry"); *taken.NameAvailable || *taken.Reason != "AlreadyExists" || !*check("another").NameAvailable || *check("no-name").NameAvailable {
		t.Error("the check of names is wrong")
	}
	a.group("rg2")
	err = ended(registries.BeginCreate(ctx, "rg2", "firstregistry", armcontainerregistry.Registry{Location: ptr("local"), SKU: &armcontainerregistry.SKU{Name: ptr(armcontainerregistry.SKUNameBasic)}}, nil))(t)
	if err == nil {
		t.Error("a name that another group has is given twice")
	}
	a.registry("rg2", "secondregistry", armcontainerregistry.ResourceIdentityTypeNone)
	inGroup := paged(t, registries.NewListByResourceGroupPager("rg", nil), func(p armcontainerregistry.RegistriesClientListByResourceGroupResponse) []*armcontainerregistry.Registry {
		return p.Value
	})
	everywhere := paged(t, registries.NewListPager(nil), func(p armcontainerregistry.RegistriesClientListResponse) []*armcontainerregistry.Registry {
		return p.Value
	})
	if len(inGroup) != 1 || len(everywhere) != 2 {
		t.Errorf("the lists have %d and %d registries", len(inGroup), len(everywhere))
	}

	admin(true)
	for role, may := range map[string]map[string]bool{
		access.RoleReader: {"get": true}, access.RoleAcrPull: {}, access.RoleAcrPush: {}, access.RoleContributor: {"get": true, "listCredentials": true, "write": true}, "": {},
	} {
		c := a.principal("somebody" + role[:min(4, len(role))])
		if role != "" {
			a.admin.Grant(c.user.ObjectID, role, id)
		}
		byRole := c.registries().NewRegistriesClient()
		for action, act := range map[string]func() error{
			"get":             func() error { return failure(byRole.Get(ctx, "rg", "firstregistry", nil)) },
			"listCredentials": func() error { return failure(byRole.ListCredentials(ctx, "rg", "firstregistry", nil)) },
			"write": func() error {
				return ended(byRole.BeginUpdate(ctx, "rg", "firstregistry", armcontainerregistry.RegistryUpdateParameters{Tags: map[string]*string{"c": ptr("d")}}, nil))(t)
			},
		} {
			if err := act(); may[action] && err != nil {
				t.Errorf("%s with role %q: %v", action, role, err)
			} else if !may[action] {
				refused(t, action+" with role "+role, err, 403, "AuthorizationFailed")
			}
		}
	}
	for range 2 { // the second time there is nothing to delete
		polled(registries.BeginDelete(ctx, "rg", "firstregistry", nil))(t)
	}
	_, err = registries.Get(ctx, "rg", "firstregistry", nil)
	refused(t, "a deleted registry", err, 404, "ResourceNotFound")
	if answer, err := a.env.HTTP.Get("https://" + loginServer + "/v2/"); err == nil {
		_ = answer.Body.Close()
		t.Errorf("a deleted registry answers %s", answer.Status)
	}
}

// rejected wants the registry plane's refusal. Its errors are in a list, as the OCI specification has it, where the SDK finds no code.
func rejected(t testing.TB, what string, err error, status int, code string) {
	t.Helper()
	var e *azcore.ResponseError
	if !errors.As(err, &e) || e.StatusCode != status || !strings.Contains(e.Error(), `"code": "`+code+`"`) {
		t.Errorf("%s: got %v, want an azcore.ResponseError with %d %s", what, err, status, code)
	}
}

func firstOf[A, B any](a A, _ B) A { return a }

func failure[T any](_ T, err error) error { return err }

// pushArtifact pushes a manifest with one layer, by the SDK alone, and gives the manifest's digest.
func pushArtifact(t *testing.T, client *azcontainerregistry.Client, blobs *azcontainerregistry.BlobClient, repository, tag, text string) (digest string, err error) {
	t.Helper()
	upload := func(content []byte) (map[string]any, error) {
		started, err := blobs.StartUpload(t.Context(), repository, nil)
		if err != nil {
			return nil, err
		}
		sum, location := azcontainerregistry.NewBlobDigestCalculator(), *started.Location
		for half := range slices.Chunk(content, len(content)/2+1) {
			part, err := blobs.UploadChunk(t.Context(), location, bytes.NewReader(half), sum, nil)
			if err != nil {
				return nil, err
			}
			location = *part.Location
		}
		complete, err := blobs.CompleteUpload(t.Context(), location, sum, nil)
		if err != nil {
			return nil, err
		}
		return map[string]any{"digest": *complete.DockerContentDigest, "size": len(content)}, nil
	}
	config, err := upload([]byte(`{"architecture":"amd64","os":"linux"}`))
	if err != nil {
		return "", err
	}
	layer, err := upload([]byte(text))
	if err != nil {
		return "", err
	}
	config["mediaType"], layer["mediaType"] = "application/vnd.oci.image.config.v1+json", "application/vnd.oci.image.layer.v1.tar"
	manifest := done(json.Marshal(map[string]any{"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json", "config": config, "layers": []any{layer}}))(t)
	pushed, err := client.UploadManifest(t.Context(), repository, tag, azcontainerregistry.ContentTypeApplicationVndOciImageManifestV1JSON, streaming.NopCloser(bytes.NewReader(manifest)), nil)
	if err != nil {
		return "", err
	}
	return *pushed.DockerContentDigest, nil
}

// BX-05, BX-08, MI-08: every operation of the SDK for registries' content, allowed and refused by role.
func TestSDKRegistryContentByRole(t *testing.T) {
	a := newAzure(t)
	a.group("rg")
	id, loginServer := a.registry("rg", "contents", armcontainerregistry.ResourceIdentityTypeNone)
	ctx := t.Context()
	client, blobs := a.owner.artifacts(loginServer)
	const repository = "team/app"
	digest := done(pushArtifact(t, client, blobs, repository, "v1", "text of the layer"))(t)
	done(pushArtifact(t, client, blobs, "other", "v1", "text of another"))(t)
	all := map[string]bool{"list repositories": true, "list": true, "pull": true, "push": true, "lock": true, "delete": true}
	reads := map[string]bool{"list repositories": true, "list": true, "pull": true}
	for _, c := range []struct {
		name, scope string
		roles       []string
		may         map[string]bool
	}{
		{"puller", id, []string{access.RoleAcrPull}, reads},
		{"reader", id, []string{access.RoleReader}, reads},
		{"pusher", id, []string{access.RoleAcrPush}, map[string]bool{"list repositories": true, "list": true, "pull": true, "push": true, "lock": true}},
		{"deleter", id, []string{roleDelete}, map[string]bool{"delete": true}},
		{"owner", id, []string{access.RoleOwner}, all},
		{"of the repository", id + "/repositories/team:app", []string{access.RoleAcrPush, roleDelete}, all},
		{"of another repository", id + "/repositories/other", []string{access.RoleAcrPush, roleDelete}, map[string]bool{"list repositories": true}},
		{"nobody", id, nil, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			who := a.principal(strings.ReplaceAll(c.name, " ", "-"))
			for _, role := range c.roles {
				a.admin.Grant(who.user.ObjectID, role, c.scope)
			}
			mine, myBlobs := who.artifacts(loginServer)
			doomed := done(pushArtifact(t, client, blobs, repository, "doomed", "to be deleted by "+c.name))(t)
			for action, act := range map[string]func() error{
				"list repositories": func() error {
					list, err := pages(ctx, mine.NewListRepositoriesPager(nil), func(p azcontainerregistry.ClientListRepositoriesResponse) []*string { return p.Names })
					want := "other team/app"
					if c.scope != id {
						want = strings.ReplaceAll(c.scope[strings.LastIndex(c.scope, "/")+1:], ":", "/") // what somebody may not pull is not listed
					}
					if got := names(list, func(s *string) *string { return s }); err == nil && got != want {
						t.Errorf("the repositories are %s", got)
					}
					return err
				},
				"list": func() error {
					tags, err := pages(ctx, mine.NewListTagsPager(repository, nil), func(p azcontainerregistry.ClientListTagsResponse) []*azcontainerregistry.TagAttributes { return p.Tags })
					if err != nil {
						return err
					}
					manifests, err := pages(ctx, mine.NewListManifestsPager(repository, nil), func(p azcontainerregistry.ClientListManifestsResponse) []*azcontainerregistry.ManifestAttributes {
						return p.Attributes
					})
					if !slices.ContainsFunc(tags, func(tag *azcontainerregistry.TagAttributes) bool { return *tag.Name == "v1" && *tag.Digest == digest }) || !slices.ContainsFunc(manifests, func(m *azcontainerregistry.ManifestAttributes) bool { return *m.Digest == digest && *m.Size > 0 }) {
						t.Errorf("%d tags and %d manifests are listed", len(tags), len(manifests))
					}
					if err != nil {
						return err
					}
					properties, err := mine.GetRepositoryProperties(ctx, repository, nil)
					if err == nil && (*properties.Name != repository || *properties.RegistryLoginServer != loginServer || *properties.TagCount < 1) {
						t.Errorf("the repository is %+v", properties)
					}
					return err
				},
				"pull": func() error {
					manifest, err := mine.GetManifest(ctx, repository, "v1", &azcontainerregistry.ClientGetManifestOptions{Accept: ptr("application/vnd.oci.image.manifest.v1+json")})
					if err != nil {
						return err
					}
					var content struct{ Layers []struct{ Digest string } }
					done(0, json.NewDecoder(manifest.ManifestData).Decode(&content))(t)
					layer, err := myBlobs.GetBlob(ctx, repository, content.Layers[0].Digest, nil)
					if err != nil {
						return err
					}
					if text := done(io.ReadAll(layer.BlobData))(t); string(text) != "text of the layer" || *manifest.DockerContentDigest != digest {
						t.Errorf("the layer is %q, the digest %s", text, *manifest.DockerContentDigest)
					}
					return nil
				},
				"push": func() error { return failure(pushArtifact(t, mine, myBlobs, repository, "v2", "pushed by "+c.name)) },
				"lock": func() error {
					_, err := mine.UpdateTagProperties(ctx, repository, "v1", &azcontainerregistry.ClientUpdateTagPropertiesOptions{Value: &azcontainerregistry.TagWriteableProperties{CanDelete: ptr(false)}})
					if err == nil {
						_, locked := client.DeleteTag(ctx, repository, "v1", nil)
						rejected(t, "deleting what is locked", locked, 405, "DENIED")
						done(mine.UpdateTagProperties(ctx, repository, "v1", &azcontainerregistry.ClientUpdateTagPropertiesOptions{Value: &azcontainerregistry.TagWriteableProperties{CanDelete: ptr(true)}}))(t)
					}
					return err
				},
				"delete": func() error {
					if err := failure(mine.DeleteTag(ctx, repository, "doomed", nil)); err != nil {
						return err
					}
					return failure(mine.DeleteManifest(ctx, repository, doomed, nil))
				},
			} {
				switch err := act(); {
				case c.may[action] && err != nil:
					t.Errorf("%s: %v", action, err)
				case !c.may[action]:
					rejected(t, action, err, 403, "DENIED")
				}
			}
		})
	}

	// A locked repository keeps what it has, for its owner too, until it is opened again.
	locked := &azcontainerregistry.ClientUpdateRepositoryPropertiesOptions{Value: &azcontainerregistry.RepositoryWriteableProperties{CanWrite: ptr(false), CanDelete: ptr(false)}}
	done(client.UpdateRepositoryProperties(ctx, "other", locked))(t)
	_, err := pushArtifact(t, client, blobs, "other", "v2", "into a locked one")
	rejected(t, "a push into a locked repository", err, 405, "DENIED")
	_, err = client.DeleteRepository(ctx, "other", nil)
	rejected(t, "deleting a locked repository", err, 405, "DENIED")
	locked.Value.CanWrite, locked.Value.CanDelete = ptr(true), ptr(true)
	done(client.UpdateRepositoryProperties(ctx, "other", locked))(t)
	done(client.DeleteRepository(ctx, "other", nil))(t)
	_, err = client.GetRepositoryProperties(ctx, "other", nil)
	rejected(t, "a deleted repository", err, 404, "NAME_UNKNOWN")
}

// BX-05: the exchange of tokens as the SDK does it: an access token of the directory for a refresh token, that for access tokens, which
// carry what was asked for and grant what the roles say at the moment of use.
func TestSDKRegistryTokens(t *testing.T) {
	a := newAzure(t)
	a.group("rg")
	id, loginServer := a.registry("rg", "exchanging", armcontainerregistry.ResourceIdentityTypeNone)
	_, otherServer := a.registry("rg", "elsewhere", armcontainerregistry.ResourceIdentityTypeNone)
	ctx := t.Context()
	client, blobs := a.owner.artifacts(loginServer)
	done(pushArtifact(t, client, blobs, "app", "v1", "text"))(t)
	puller := a.principal("puller")
	grant := a.admin.Grant(puller.user.ObjectID, access.RoleAcrPull, id)
	tokens := done(azcontainerregistry.NewAuthenticationClient("https://"+loginServer, &azcontainerregistry.AuthenticationClientOptions{ClientOptions: a.options()}))(t)
	for _, audience := range []string{"https://containerregistry.azure.net", "https://management.azure.com"} {
		held := done(puller.credential.GetToken(ctx, policy.TokenRequestOptions{Scopes: []string{audience + "/.default"}}))(t)
		refresh := done(tokens.ExchangeAADAccessTokenForACRRefreshToken(ctx, azcontainerregistry.PostContentSchemaGrantTypeAccessToken, loginServer,
			&azcontainerregistry.AuthenticationClientExchangeAADAccessTokenForACRRefreshTokenOptions{AccessToken: &held.Token, Tenant: ptr(a.env.Server.Endpoints.Tenant)}))(t)
		token := done(tokens.ExchangeACRRefreshTokenForACRAccessToken(ctx, loginServer, "repository:app:pull,push,delete", *refresh.RefreshToken,
			&azcontainerregistry.AuthenticationClientExchangeACRRefreshTokenForACRAccessTokenOptions{GrantType: ptr(azcontainerregistry.TokenGrantTypeRefreshToken)}))(t)
		manifest := func(server, bearer string) int {
			request := done(http.NewRequestWithContext(ctx, "GET", "https://"+server+"/v2/app/manifests/v1", nil))(t)
			request.Header.Set("Authorization", "Bearer "+bearer)
			answer := done(a.env.HTTP.Do(request))(t)
			_ = answer.Body.Close()
			return answer.StatusCode
		}
		if got := manifest(loginServer, *token.AccessToken); got != 200 {
			t.Errorf("%s: a pull with the token: %d", audience, got)
		}
		for what, bearer := range map[string]string{"the refresh token": *refresh.RefreshToken, "the directory's token": held.Token, "a changed token": *token.AccessToken + "x"} {
			if got := manifest(loginServer, bearer); got != 401 {
				t.Errorf("%s: %s as a bearer: %d", audience, what, got)
			}
		}
		if got := manifest(otherServer, *token.AccessToken); got != 401 {
			t.Errorf("%s: the token at another registry: %d", audience, got)
		}
		mustDo(t, a.admin, "DELETE", grant, nil)
		if got := manifest(loginServer, *token.AccessToken); got != 403 {
			t.Errorf("%s: the token after the role was taken away: %d", audience, got)
		}
		grant = a.admin.Grant(puller.user.ObjectID, access.RoleAcrPull, id)
	}
	storage := done(puller.credential.GetToken(ctx, policy.TokenRequestOptions{Scopes: []string{"https://storage.azure.com/.default"}}))(t)
	_, err := tokens.ExchangeAADAccessTokenForACRRefreshToken(ctx, azcontainerregistry.PostContentSchemaGrantTypeAccessToken, loginServer,
		&azcontainerregistry.AuthenticationClientExchangeAADAccessTokenForACRRefreshTokenOptions{AccessToken: &storage.Token})
	rejected(t, "a token for storage", err, 401, "UNAUTHORIZED")
}

// MI-11, BX-08: a build as the SDK's users make it: upload, schedule, follow, look, cancel.
func TestSDKRuns(t *testing.T) {
	needSandbox(t)
	a := newAzure(t)
	a.group("rg")
	id, loginServer := a.registry("rg", "building", armcontainerregistry.ResourceIdentityTypeSystemAssigned)
	ctx, registries, runs := t.Context(), a.owner.registries().NewRegistriesClient(), a.owner.registries().NewRunsClient()
	got := done(registries.Get(ctx, "rg", "building", nil))(t)
	a.admin.Grant(*got.Identity.PrincipalID, access.RoleAcrPush, id)
	pushBase(t, loginServer+"/base:1", a.owner.user.Remote(loginServer))
	schedule := func(c *client, dockerfile, image string) (*armcontainerregistry.Run, error) {
		t.Helper()
		place := done(registries.GetBuildSourceUploadURL(ctx, "rg", "building", nil))(t)
		request := done(http.NewRequestWithContext(ctx, "PUT", *place.UploadURL, bytes.NewReader(packed(t, map[string]string{"Dockerfile": dockerfile}))))(t)
		request.Header.Set("x-ms-blob-type", "BlockBlob")
		answer := done(a.env.HTTP.Do(request))(t)
		_ = answer.Body.Close()
		poller, err := c.registries().NewRegistriesClient().BeginScheduleRun(ctx, "rg", "building", &armcontainerregistry.DockerBuildRequest{
			DockerFilePath: ptr("Dockerfile"), SourceLocation: place.RelativePath, ImageNames: []*string{&image}, IsPushEnabled: ptr(true), Timeout: ptr(int32(600)),
			Platform: &armcontainerregistry.PlatformProperties{OS: ptr(armcontainerregistry.OSLinux)}, AgentConfiguration: &armcontainerregistry.AgentProperties{CPU: ptr(int32(1))},
		}, nil)
		if err != nil {
			return nil, err
		}
		scheduled, err := await(t, poller, err)
		return &scheduled.Run, err
	}
	run := done(schedule(a.owner, "FROM "+loginServer+"/base:1\nRUN echo from the command", "app:{{.Run.ID}}"))(t)
	if ended := runEnded(t, a.admin, *run.ID); ended.Text("properties.status") != "Succeeded" {
		t.Fatalf("%s", ended.Raw)
	}
	shown := done(runs.Get(ctx, "rg", "building", *run.Name, nil))(t).Properties
	if *shown.Status != armcontainerregistry.RunStatusSucceeded || len(shown.OutputImages) != 1 || *shown.OutputImages[0].Tag != *run.Name || shown.FinishTime.Before(*shown.StartTime) {
		t.Errorf("the run is %+v", shown)
	}
	artifacts, _ := a.owner.artifacts(loginServer)
	if tag := done(artifacts.GetTagProperties(ctx, "app", *run.Name, nil))(t); *tag.Tag.Digest != *shown.OutputImages[0].Digest {
		t.Errorf("the tag is %s, the run says %s", *tag.Tag.Digest, *shown.OutputImages[0].Digest)
	}
	link := done(runs.GetLogSasURL(ctx, "rg", "building", *run.Name, nil))(t)
	answer := done(a.env.HTTP.Get(*link.LogLink))(t)
	if text := done(io.ReadAll(answer.Body))(t); !strings.Contains(string(text), "from the command") {
		t.Errorf("the log is %s", text)
	}
	_ = answer.Body.Close()

	slow := done(schedule(a.owner, "FROM "+loginServer+"/base:1\nRUN sleep 60", "slow:1"))(t)
	began := time.Now()
	polled(runs.BeginCancel(ctx, "rg", "building", *slow.Name, nil))(t)
	if ended := runEnded(t, a.admin, *slow.ID); ended.Text("properties.status") != "Canceled" || time.Since(began) > 20*time.Second {
		t.Errorf("after %s: %s", time.Since(began), ended.Raw)
	}
	list := paged(t, runs.NewListPager("rg", "building", nil), func(p armcontainerregistry.RunsClientListResponse) []*armcontainerregistry.Run { return p.Value })
	if got := names(list, func(r *armcontainerregistry.Run) *string { return r.Name }); got != fmt.Sprintf("%s %s", *slow.Name, *run.Name) {
		t.Errorf("the runs are %s", got)
	}
	for role, may := range map[string]bool{access.RoleReader: true, access.RoleAcrPush: false, "": false} {
		c := a.principal("somebody" + role[:min(4, len(role))])
		if role != "" {
			a.admin.Grant(c.user.ObjectID, role, id)
		}
		byRole := c.registries().NewRunsClient()
		if _, err := byRole.Get(ctx, "rg", "building", *run.Name, nil); may && err != nil {
			t.Errorf("role %q gets a run: %v", role, err)
		} else if !may {
			forbidden(t, "a run with role "+role, err, "Microsoft.ContainerRegistry/registries/runs/read")
		}
		_, err := byRole.GetLogSasURL(ctx, "rg", "building", *run.Name, nil)
		forbidden(t, "a log with role "+role, err, "Microsoft.ContainerRegistry/registries/runs/listLogSasUrl/action")
		_, err = byRole.BeginCancel(ctx, "rg", "building", *run.Name, nil)
		forbidden(t, "cancel with role "+role, err, "Microsoft.ContainerRegistry/registries/runs/cancel/action")
		_, err = schedule(c, "FROM scratch", "app:1")
		forbidden(t, "a build with role "+role, err, "Microsoft.ContainerRegistry/registries/scheduleRun/action")
	}
}
