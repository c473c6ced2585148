package buildkit

import (
	_ "github.com/moby/buildkit/client"
	_ "github.com/moby/buildkit/session/auth"
	_ "github.com/moby/buildkit/session/secrets/secretsprovider"
	_ "github.com/moby/buildkit/sourcepolicy/pb"
	_ "github.com/tonistiigi/fsutil"
	_ "google.golang.org/grpc"
	_ "golang.org/x/crypto/nacl/sign"
)
