package machinelearning

import (
	"context"
	"encoding/json"
	"strings"

	"github.com/alvara-ml/alvara/arm"
	"github.com/alvara-ml/alvara/identity"
	"github.com/alvara-ml/alvara/resource"
)

// base is an image that a build begins with or copies from.
type base struct {
	reference string // as it was written
	host      string // of its registry, in lower case; "" for the public one
	identity  string // as whom it is pulled, in the words of a run's credentials; "" for nobody
	digest    string // "" where it is not known: the registry is elsewhere
}

// pinned is the reference with the digest that was found.
func (b base) pinned() string {
	if b.digest == "" || strings.Contains(b.reference, "@") {
		return b.reference
	}
	return b.reference + "@" + b.digest
}

// puller is an identity that a base image is pulled as.
type puller struct {
	name string             // in the words of a run's credentials
	who  identity.Principal // of no id for one that is not known in the directory
	from string             // who names it, for refusals
}

// resolveBases finds out as whom each base image is pulled, and which digest it has now. What is missing is refused here, before
// anything is queued: each piece by its own name (MI-11).
func (b *building) resolveBases(ctx context.Context, references []string) ([]base, error) {
	hosts, out := b.Registries.Hosts(), make([]base, 0, len(references))
	for _, text := range references {
		host, repository, reference := splitReference(text)
		found := base{reference: text, host: host}
		registry, ours := hosts[host]
		as, err := b.pullerAt(ctx, host, registry)
		if err != nil {
			return nil, err
		}
		switch {
		case as != nil:
			found.identity = as.name
		case ours:
			as, found.identity = &puller{who: b.who}, callerIdentity
		}
		if ours {
			found.digest, err = b.Registries.Digest(ctx, as.who, registry, repository, reference)
			if err != nil {
				return nil, b.explainBase(err, found, registry, as)
			}
		}
		out = append(out, found)
	}
	return out, nil
}

// callerIdentity is the workspace's identity in the words of a run's credentials: it is the one that schedules the run.
const callerIdentity = "[caller]"

// pullerAt is the identity that the environment, or else a connection of the workspace, names for a registry; nil when neither
// names one. In the workspace's own registry the workspace's identity does all.
func (b *building) pullerAt(ctx context.Context, host string, registry resource.ID) (*puller, error) {
	if own := b.workspace.Properties.ContainerRegistry; own != "" && strings.EqualFold(own, registry.String()) {
		return nil, nil
	}
	if named := b.environment.Properties.RegistryIdentity; named != nil {
		return b.userAssigned(ctx, named.ResourceID, named.ClientID, "the environment's registryIdentity")
	}
	docs, err := b.call.Manager.Below(ctx, b.workspace.ID, connectionType)
	if err != nil {
		return nil, err
	}
	for _, doc := range docs { // in the order of their names
		connection := &arm.Resource[Connection]{}
		if err := json.Unmarshal(doc.Body, connection); err != nil {
			return nil, err
		}
		p := connection.Properties
		if !p.toRegistry() || hostOf(p.Target) != host {
			continue
		}
		if p.AuthType != "ManagedIdentity" && p.AuthType != registryConnection {
			return nil, resource.Errorf(resource.Unsupported, "ConnectionAuthNotSupported", "The connection %s of the workspace has the authType %s, and builds pull as identities: give it the authType ManagedIdentity with clientId and resourceId",
				connection.Name, p.AuthType)
		}
		id, _ := p.Credentials["resourceId"].(string)
		client, _ := p.Credentials["clientId"].(string)
		return b.userAssigned(ctx, id, client, "the connection "+connection.Name)
	}
	return nil, nil
}

// toRegistry tells whether the connection is one to a container registry.
func (p *Connection) toRegistry() bool {
	return strings.EqualFold(p.Category, "ContainerRegistry") || strings.EqualFold(p.Category, "ACR")
}

// userAssigned checks that the workspace's identity may have a run act as a user-assigned identity.
func (b *building) userAssigned(ctx context.Context, text, client, from string) (*puller, error) {
	id, err := resource.ParseID(text)
	if err != nil {
		return nil, err
	}
	now, err := b.call.Manager.UserAssigned(ctx, id)
	if err == nil && !strings.EqualFold(now.ClientID, client) {
		err = resource.Invalidf("IdentityReplaced", "it was made anew since and has another client id")
	}
	if resource.KindOf(err) == resource.Invalid {
		return nil, resource.Invalidf("IdentityNotFound", "The identity '%s', which %s names to pull base images, is not there: %v", id, from, err)
	}
	if err != nil {
		return nil, err
	}
	if g := (grant{identityUser, id}); now.PrincipalID != b.who.ID && !g.heldBy(b.call, b.who.ID) {
		return nil, b.lacks(g, b.who.ID, "The identity of the workspace "+b.workspace.Name, "have a build act as the identity that "+from+" names")
	}
	who, _ := b.call.Manager.Identities.Lookup(now.PrincipalID)
	return &puller{id.String(), who, "The identity '" + id.String() + "', which " + from + " names,"}, nil
}

// explainBase words why a base image cannot be pulled.
func (b *building) explainBase(err error, found base, registry resource.ID, as *puller) error {
	switch kind := resource.KindOf(err); {
	case kind == resource.NotFound:
		return resource.NotFoundf("BaseImageNotFound", "The base image %s does not exist in the registry %s; push it, or name another in a new version.", found.reference, registry.Name())
	case kind != resource.Forbidden:
		return err
	case as.name != "":
		return b.lacks(grant{acrPull, registry}, as.who.ID, as.from, "pull the base image "+found.reference)
	}
	g, ws := grant{acrPull, registry}, b.workspace
	return resource.Forbiddenf("BaseImageIdentityMissing", "The environment needs a build on the base image %s, and nobody whom the build may act as can pull it: no connection of the workspace %s names an identity for %s, the environment has no registryIdentity, "+
		"and the identity of the workspace (principal %s) does not hold %s. Name a user-assigned identity that holds it with: alvara ml connection create -n base -w %s -g %s --category ACR --auth-type RegistryConnection --target %s --value '{\"ResourceId\":\"ID\",\"ClientId\":\"CLIENT-ID\"}'. "+
		"When only the compute may pull the image, use the image as it is: an environment without conda file and Dockerfile is pulled as the identity of the compute.",
		found.reference, ws.Name, found.host, b.who.ID, g, ws.Name, ws.ID.ResourceGroup(), found.host)
}

// splitReference takes a reference apart as docker does: the host of the registry, in lower case and "" for the public one,
// the repository, and a tag or digest.
func splitReference(text string) (host, repository, reference string) {
	rest := text
	if first, after, found := strings.Cut(text, "/"); found && (strings.ContainsAny(first, ".:") || strings.EqualFold(first, "localhost")) {
		host, rest = strings.ToLower(first), after
	}
	name, digest, _ := strings.Cut(rest, "@")
	name, tag, _ := strings.Cut(name, ":")
	switch {
	case digest != "":
		return host, name, digest
	case tag != "":
		return host, name, tag
	}
	return host, name, "latest"
}

// hostOf is the host, in lower case, of the address of a registry, which may be written as a URL.
func hostOf(target string) string {
	target = strings.ToLower(strings.TrimSpace(target))
	if _, after, found := strings.Cut(target, "://"); found {
		target = after
	}
	host, _, _ := strings.Cut(target, "/")
	return host
}
