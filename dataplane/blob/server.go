package blob

import (
	"log/slog"
	"net/http"
	"time"

	"github.com/alvara-ml/alvara/identity"
)

// Server answers the Blob and the DFS protocol. All fields are set before the first request and not changed afterwards.
type Server struct {
	Catalog       Catalog
	Guard         Guard
	Authenticator Authenticator
	Objects       Objects
	Owners        Owners // may be nil

	// DelegationKey is the secret, of at least 32 bytes, that user delegation keys are derived from. When it changes,
	// every SAS that was signed before ends.
	DelegationKey []byte
	// Lookup finds the principal that a SAS was signed for, with its groups as they are now.
	Lookup func(objectID string) (identity.Principal, bool)
	// KeyUsed is told of every operation that an account key allowed, because no role decided on it. May be nil.
	KeyUsed func(access Access)

	// Domain makes {account}.blob.{Domain} and {account}.dfs.{Domain} name accounts. Every other host has the account
	// as the first segment of the path. "" for none.
	Domain string
	// Authority is where a caller without a token is sent: https://login…/{tenant}/oauth2/authorize.
	Authority string

	Clock func() time.Time
	Log   *slog.Logger
}

// BlobHandler answers the Blob protocol; its errors are XML. Both handlers take the calls of both protocols, because
// clients of the data lake derive the one address from the other, which is the same one when it is an IP address.
func (s *Server) BlobHandler() http.Handler { return &handler{server: s, plane: planeBlob} }

// DFSHandler answers the DFS protocol; its errors are JSON.
func (s *Server) DFSHandler() http.Handler { return &handler{server: s, plane: planeDFS} }

type handler struct {
	server *Server
	plane  plane
}

type plane uint8

const (
	planeBlob plane = iota
	planeDFS
)

func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) { h.server.serve(w, r, h.plane) }
