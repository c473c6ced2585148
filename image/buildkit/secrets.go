package buildkit

import (
	"bytes"
	"context"
	"fmt"
	"strings"

	"github.com/moby/buildkit/frontend/dockerfile/parser"
	"github.com/moby/buildkit/session/secrets"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/alvara-ml/alvara/image"
	"github.com/alvara-ml/alvara/resource"
)

// vault gives the daemon the order's secret arguments when a RUN mounts them (--mount=type=secret,id=NAME).
type vault struct {
	secrets.UnimplementedSecretsServer
	values map[string]string
}

// Register implements session.Attachable.
func (v vault) Register(server *grpc.Server) { secrets.RegisterSecretsServer(server, v) }

// GetSecret implements secrets.SecretsServer.
func (v vault) GetSecret(_ context.Context, request *secrets.GetSecretRequest) (*secrets.GetSecretResponse, error) {
	value, ok := v.values[request.ID]
	if !ok {
		return nil, status.Errorf(codes.NotFound, "the build has no secret argument %s", request.ID)
	}
	return &secrets.GetSecretResponse{Data: []byte(value)}, nil
}

// readable refuses a Dockerfile that would have a daemon write a secret into the image: the value of an ARG is part of its history.
func readable(dockerfile []byte, order image.Order) error {
	secret := map[string]bool{}
	for _, argument := range order.Arguments {
		secret[argument.Name] = secret[argument.Name] || argument.Secret
	}
	parsed, err := parser.Parse(bytes.NewReader(dockerfile))
	if err != nil {
		return resource.Invalidf("InvalidDockerfile", "The Dockerfile cannot be read: %v.", err)
	}
	for _, node := range parsed.AST.Children {
		if !strings.EqualFold(node.Value, "ARG") {
			continue
		}
		for word := node.Next; word != nil; word = word.Next {
			if name, _, _ := strings.Cut(word.Value, "="); secret[name] {
				return resource.Errorf(resource.Unsupported, "SecretInHistory", "%s", fmt.Sprintf(
					"Dockerfile line %d: a BuildKit daemon writes the value of ARG %s into the image's history, and it is secret; leave the ARG out and have the command take it by RUN --mount=type=secret,id=%s,env=%s.", node.StartLine, name, name, name))
			}
		}
	}
	return nil
}
