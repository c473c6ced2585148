package buildkit

import (
	"context"
	"crypto/rand"
	"sync"
	"time"

	"github.com/moby/buildkit/session/auth"
	"golang.org/x/crypto/nacl/sign"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/alvara-ml/alvara/image/pull"
	"github.com/alvara-ml/alvara/resource"
)

// tokens answers the daemon's questions for credentials during one build. For a host that the order gives a credential, it
// gets a token of that host for the scopes that are asked, here, and hands over only that. A host without one gets
// nothing, and the daemon goes there as nobody.
type tokens struct {
	auth.UnimplementedAuthServer
	registries *pull.Registries
	public     *[32]byte
	private    *[64]byte

	mu       sync.Mutex
	accounts map[string]*pull.Account
	refusal  error // the first that a repetition does not cure
	failure  error // the first that it may
}

func newTokens(registries *pull.Registries) (*tokens, error) {
	// The key says to the daemon that two questions are of the same build. It is new for each, so that no token that the
	// daemon keeps serves another build.
	public, private, err := sign.GenerateKey(rand.Reader)
	return &tokens{registries: registries, public: public, private: private, accounts: map[string]*pull.Account{}}, err
}

// Register implements session.Attachable.
func (t *tokens) Register(server *grpc.Server) { auth.RegisterAuthServer(server, t) }

// account is nil for a host without a credential.
func (t *tokens) account(host string) (*pull.Account, error) {
	if host == "docker.io" || host == "registry-1.docker.io" {
		host = "index.docker.io" // what references without a host mean
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if known := t.accounts[host]; known != nil {
		return known, nil
	}
	account, err := t.registries.Account(host)
	if err == nil && account != nil {
		t.accounts[host] = account
	}
	return account, err
}

// GetTokenAuthority implements auth.AuthServer: it tells the daemon to ask for tokens here rather than for a password.
func (t *tokens) GetTokenAuthority(_ context.Context, request *auth.GetTokenAuthorityRequest) (*auth.GetTokenAuthorityResponse, error) {
	account, err := t.account(request.Host)
	if err != nil {
		return nil, t.note(err)
	}
	if account == nil {
		return nil, status.Errorf(codes.Unavailable, "no credential is given for %s", request.Host)
	}
	return &auth.GetTokenAuthorityResponse{PublicKey: t.public[:]}, nil
}

// VerifyTokenAuthority implements auth.AuthServer.
func (t *tokens) VerifyTokenAuthority(_ context.Context, request *auth.VerifyTokenAuthorityRequest) (*auth.VerifyTokenAuthorityResponse, error) {
	account, err := t.account(request.Host)
	if err != nil || account == nil {
		return nil, status.Errorf(codes.Unavailable, "no credential is given for %s", request.Host)
	}
	return &auth.VerifyTokenAuthorityResponse{Signed: sign.Sign(nil, request.Payload, t.private)}, nil
}

// FetchToken implements auth.AuthServer. Where tokens are made is for the host to say, to this process: the daemon's word on
// it is not used.
func (t *tokens) FetchToken(ctx context.Context, request *auth.FetchTokenRequest) (*auth.FetchTokenResponse, error) {
	account, err := t.account(request.Host)
	if err != nil {
		return nil, t.note(err)
	}
	if account == nil {
		return nil, status.Errorf(codes.PermissionDenied, "no credential is given for %s", request.Host)
	}
	token, life, err := account.AccessToken(ctx, request.Scopes)
	if err != nil {
		return nil, t.note(err)
	}
	return &auth.FetchTokenResponse{Token: token, ExpiresIn: int64(life / time.Second), IssuedAt: time.Now().Unix()}, nil
}

// Credentials implements auth.AuthServer: the daemon asks when a registry knows no tokens, and for hosts of which nothing is
// known here. A password goes to its own host alone; an identity has none.
func (t *tokens) Credentials(_ context.Context, request *auth.CredentialsRequest) (*auth.CredentialsResponse, error) {
	account, err := t.account(request.Host)
	if err != nil {
		return nil, t.note(err)
	}
	if account == nil {
		return &auth.CredentialsResponse{}, nil
	}
	username, password := account.Password()
	return &auth.CredentialsResponse{Username: username, Secret: password}, nil
}

// note keeps the reason, which the daemon wraps in words of its own.
func (t *tokens) note(err error) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch kind := resource.KindOf(err); {
	case kind == resource.Internal || kind == resource.Unavailable:
		if t.failure == nil {
			t.failure = err
		}
		return status.Error(codes.Unavailable, err.Error())
	case t.refusal == nil:
		t.refusal = err
	}
	return status.Error(codes.PermissionDenied, err.Error())
}

// fault is the reason for which a token was not given; nil when all were.
func (t *tokens) fault() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.refusal != nil {
		return t.refusal
	}
	return t.failure
}
