package identity

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/alvara-ml/alvara/resource"
)

// LocalConfig is what sign-in through the Unix socket needs.
type LocalConfig struct {
	Path      string // of the socket, at most about 100 bytes
	OwnerUID  int    // who may sign in, besides root
	Service   *Service
	Principal func() (objectID string) // who they sign in as: the local administrator
	ClientID  string                   // "": Azure CLI's
	Resource  string                   // what the token is for when the request does not say
	Endpoints any                      // answered as it is: the addresses of the planes
	Log       *slog.Logger             // nil: no log
}

// LocalListener serves sign-in on a Unix socket: whoever owns the data folder needs no password. The kernel says who is at
// the other end of the connection.
//
//	POST /login {"resource": "https://management.azure.com/"}   (the body may be empty)
//	→ {"access_token", "refresh_token", "token_type", "expires_in", "resource", "client_id", "tenant", "principal", "endpoints"}
type LocalListener struct {
	config   LocalConfig
	listener net.Listener
	server   *http.Server
}

type peerKey struct{}

// ListenLocal opens the socket (mode 0600). A socket that a dead process left behind is replaced; one that is in use is an
// error. Call Serve next.
func ListenLocal(config LocalConfig) (*LocalListener, error) {
	if config.ClientID == "" {
		config.ClientID = ClientAzureCLI
	}
	if config.Log == nil {
		config.Log = slog.New(slog.DiscardHandler)
	}
	if info, err := os.Lstat(config.Path); err == nil {
		if info.Mode().Type() != fs.ModeSocket {
			return nil, fmt.Errorf("local sign-in: %s is there already and is no socket", config.Path)
		}
		if connection, err := net.DialTimeout("unix", config.Path, time.Second); err == nil {
			_ = connection.Close()
			return nil, fmt.Errorf("local sign-in: another server answers at %s", config.Path)
		}
		if err := os.Remove(config.Path); err != nil {
			return nil, fmt.Errorf("local sign-in: remove the old socket: %w", err)
		}
	}
	listener, err := net.Listen("unix", config.Path)
	if err != nil {
		return nil, fmt.Errorf("local sign-in: %w", err)
	}
	if err := os.Chmod(config.Path, 0o600); err != nil {
		return nil, errors.Join(fmt.Errorf("local sign-in: %w", err), listener.Close())
	}
	l := &LocalListener{config: config, listener: listener}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /login", l.login)
	l.server = &http.Server{
		Handler: mux, ReadTimeout: 10 * time.Second, WriteTimeout: 30 * time.Second, MaxHeaderBytes: 16 << 10,
		ConnContext: func(ctx context.Context, connection net.Conn) context.Context {
			uid, err := peerUID(connection)
			if err != nil {
				config.Log.WarnContext(ctx, "local sign-in: the peer is unknown", "error", err)
				return ctx
			}
			return context.WithValue(ctx, peerKey{}, uid)
		},
	}
	return l, nil
}

// Serve answers until Close; then it returns nil.
func (l *LocalListener) Serve() error {
	if err := l.server.Serve(l.listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// Close waits for requests under way until ctx ends, and removes the socket.
func (l *LocalListener) Close(ctx context.Context) error {
	return errors.Join(l.server.Shutdown(ctx), ignoreClosed(l.listener.Close()))
}

func ignoreClosed(err error) error {
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

func (l *LocalListener) login(w http.ResponseWriter, r *http.Request) {
	uid, known := r.Context().Value(peerKey{}).(int)
	if !known || uid != l.config.OwnerUID && uid != 0 {
		writeLocalError(w, http.StatusForbidden, resource.Forbiddenf("Forbidden",
			"Only the owner of the data folder (uid %d) and root may sign in here; sign in with a service principal instead.", l.config.OwnerUID))
		return
	}
	asked := struct {
		Resource string `json:"resource"`
	}{}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 64<<10))
	if err == nil && len(body) > 0 {
		err = json.Unmarshal(body, &asked)
	}
	if err != nil {
		writeLocalError(w, http.StatusBadRequest, resource.Invalidf("InvalidRequest", "The body must be empty or a JSON object with the field resource."))
		return
	}
	if asked.Resource == "" {
		asked.Resource = l.config.Resource
	}
	principal := l.config.Principal()
	set, err := l.config.Service.IssueLocal(r.Context(), principal, l.config.ClientID, asked.Resource)
	if err != nil {
		refused, ok := resource.AsError(err)
		if !ok {
			l.config.Log.ErrorContext(r.Context(), "local sign-in failed", "error", err)
			writeLocalError(w, http.StatusInternalServerError, resource.Errorf(resource.Internal, "InternalServerError", "Signing in failed; the server's log says why."))
			return
		}
		writeLocalError(w, http.StatusBadRequest, refused)
		return
	}
	l.config.Log.InfoContext(r.Context(), "local sign-in", "uid", uid, "principal", principal, "resource", set.Resource)
	writeJSON(w, http.StatusOK, map[string]any{
		"access_token": set.AccessToken, "refresh_token": set.RefreshToken, "token_type": "Bearer",
		"expires_in": set.Expires.Unix() - set.NotBefore.Unix(), "resource": set.Resource, "client_id": l.config.ClientID,
		"tenant": l.config.Service.config.Directory.TenantID(), "principal": principal, "endpoints": l.config.Endpoints,
	})
}

func writeLocalError(w http.ResponseWriter, status int, e *resource.Error) {
	writeJSON(w, status, map[string]any{"error": map[string]string{"code": e.Code, "message": e.Message}})
}
