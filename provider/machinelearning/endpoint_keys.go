package machinelearning

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"strings"
	"time"

	"github.com/alvara-ml/alvara/arm"
	"github.com/alvara-ml/alvara/resource"
)

// settleKeys makes the keys of an endpoint whose authMode is Key, and forgets them with the mode (BX-01).
func (d Deps) settleKeys(change *arm.Change[OnlineEndpoint]) error {
	p := &change.Next.Properties
	p.Sealed = nil
	if p.AuthMode != authKey {
		return nil
	}
	if change.Prev != nil && change.Prev.Properties.Sealed != nil {
		p.Sealed = change.Prev.Properties.Sealed
		return nil
	}
	return d.sealKeys(change.Next.ID, p, EndpointKeys{newKey(), newKey()})
}

func newKey() string { return rand.Text() + rand.Text() }

func (d Deps) sealKeys(id resource.ID, p *OnlineEndpoint, keys EndpointKeys) error {
	text, err := json.Marshal(keys)
	if err != nil {
		return err
	}
	p.Sealed, err = d.Sealer.Seal(text, keysSealedFor(id))
	return err
}

func (d Deps) openKeys(id resource.ID, p *OnlineEndpoint) (EndpointKeys, error) {
	var keys EndpointKeys
	if p.AuthMode != authKey || p.Sealed == nil {
		return keys, resource.Errorf(resource.Invalid, "KeyAuthDisabled", "The endpoint %s has the authMode %s, so it has no keys: call it with a token, such as of alvara account get-access-token --resource https://ml.azure.com. "+
			"Whoever insists on keys can turn them on by writing the endpoint with the authMode Key: alvara ml online-endpoint update -n %s -w %s -g %s --set auth_mode=key", id.Name(), p.AuthMode, id.Name(), id.Parent().Name(), id.ResourceGroup())
	}
	text, err := d.Sealer.Open(p.Sealed, keysSealedFor(id))
	if err != nil {
		return keys, err
	}
	return keys, json.Unmarshal(text, &keys)
}

func keysSealedFor(id resource.ID) []byte { return []byte(id.Key() + "/keys") }

func (d Deps) endpointKeys(_ context.Context, _ *arm.Call, r *arm.Resource[OnlineEndpoint]) (any, error) {
	return d.openKeys(r.ID, &r.Properties)
}

// regenerateKeys renews one key. What was opened with the old one stays open until its request ends.
func (d Deps) regenerateKeys(ctx context.Context, call *arm.Call, r *arm.Resource[OnlineEndpoint]) (any, error) {
	var body struct {
		KeyType  string `json:"keyType"`
		KeyValue string `json:"keyValue"`
	}
	if err := arm.ReadBody(call.Body, &body); err != nil {
		return nil, err
	}
	if body.KeyValue != "" {
		return nil, resource.Errorf(resource.Unsupported, "NotSupported", "keyValue: the server makes keys; leave the field out").At("keyValue")
	}
	for attempt := 0; ; attempt++ {
		keys, err := d.openKeys(r.ID, &r.Properties)
		if err != nil {
			return nil, err
		}
		switch strings.ToLower(body.KeyType) {
		case "primary":
			keys.PrimaryKey = newKey()
		case "secondary":
			keys.SecondaryKey = newKey()
		default:
			return nil, resource.Invalidf("InvalidKeyType", "keyType is %q; Primary or Secondary was expected", body.KeyType).At("keyType")
		}
		// The document is changed as it is stored, with its state: an operation may be under way.
		doc, err := call.Manager.Store.Get(ctx, r.ID.Key())
		if err != nil {
			return nil, err
		}
		if err := json.Unmarshal(doc.Body, r); err != nil {
			return nil, err
		}
		if err := d.sealKeys(r.ID, &r.Properties, keys); err != nil {
			return nil, err
		}
		put, err := withProperties(doc, r.Properties)
		if err != nil {
			return nil, err
		}
		_, err = call.Manager.Store.Apply(ctx, put)
		if err == nil {
			location := call.BaseURL + r.ID.String() + "?api-version=" + call.QueryValue("api-version")
			return &arm.Response{Status: 202, Header: map[string]string{"Location": location, "Retry-After": "0"}}, nil
		}
		if resource.KindOf(err) != resource.PreconditionFailed || attempt == 20 {
			return nil, err
		}
	}
}

// EndpointToken is a token that opens one endpoint for one principal, for a while.
type EndpointToken struct {
	AccessToken  string `json:"accessToken"`
	Expiry       int64  `json:"expiryTimeUtc"`       // seconds since 1970
	RefreshAfter int64  `json:"refreshAfterTimeUtc"` // seconds since 1970
	TokenType    string `json:"tokenType"`
}

// endpointToken makes a token for the caller. It says who calls; whether that one may is asked with each request.
func (d Deps) endpointToken(_ context.Context, call *arm.Call, r *arm.Resource[OnlineEndpoint]) (any, error) {
	if r.Properties.AuthMode != authToken {
		return nil, resource.Invalidf("TokenAuthDisabled", "The endpoint %s has the authMode %s, and gives out tokens of its own with AMLToken alone.", r.Name, r.Properties.AuthMode)
	}
	token, expiry := d.IssueToken(r.ID, call.Who.ID)
	now := call.Manager.Clock()
	return EndpointToken{AccessToken: token, Expiry: expiry.Unix(), RefreshAfter: now.Add(expiry.Sub(now) / 2).Truncate(time.Second).Unix(), TokenType: "Bearer"}, nil
}
