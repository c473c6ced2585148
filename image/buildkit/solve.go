package buildkit

import (
	"context"
	"crypto/rand"
	"os"
	"strconv"
	"strings"
	"sync"

	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/session"
	spb "github.com/moby/buildkit/sourcepolicy/pb"
	"github.com/tonistiigi/fsutil"

	"github.com/alvara-ml/alvara/image"
	"github.com/alvara-ml/alvara/image/pull"
	"github.com/alvara-ml/alvara/resource"
)

// frontend is the daemon's own reader of Dockerfiles.
const frontend = "dockerfile.v0"

// solve is one order at a daemon.
type solve struct {
	order      image.Order
	registries *pull.Registries
	context    *os.Root // nothing outside of it can be asked for
	recipe     *os.Root
	log        *log
}

func (s *solve) run(ctx context.Context, daemon *client.Client) (image.Result, error) {
	tokens, err := newTokens(s.registries)
	if err != nil {
		return image.Result{}, err
	}
	updates := make(chan *client.SolveStatus)
	var shown sync.WaitGroup
	shown.Go(func() {
		for update := range updates {
			s.log.update(update)
		}
	})
	response, err := daemon.Solve(ctx, nil, s.options(tokens), updates)
	shown.Wait()
	s.log.flush()
	if err != nil {
		return image.Result{}, s.explain(ctx, err, tokens.fault())
	}
	return s.result(response.ExporterResponse)
}

// options are the order in the daemon's words.
func (s *solve) options(tokens *tokens) client.SolveOpt {
	secret := vault{values: map[string]string{}}
	attributes := map[string]string{"filename": recipeName, "build-arg:SOURCE_DATE_EPOCH": "0"}
	for _, argument := range s.order.Arguments {
		if argument.Secret {
			secret.values[argument.Name] = argument.Value
		} else {
			attributes["build-arg:"+argument.Name] = argument.Value
		}
	}
	// What the daemon keeps for RUN --mount=type=cache is one registry's alone.
	attributes["build-arg:BUILDKIT_CACHE_MOUNT_NS"] = s.order.CacheScope
	// The daemon reads the Dockerfile itself. With this it does not look for a line "# syntax=", nor for BUILDKIT_SYNTAX: a
	// program from somewhere that reads it instead would not be bound by the network and the cache that are said here.
	attributes["cmdline"] = frontend
	for name, value := range map[string]string{"target": s.order.Target, "platform": s.platform()} {
		if value != "" {
			attributes[name] = value
		}
	}
	if s.order.NoCache {
		attributes["no-cache"] = ""
	}
	attributes["memory"] = strconv.FormatInt(s.order.Limits.MemoryBytes, 10)
	if cpus := s.order.Limits.CPUs; cpus > 0 {
		attributes["cpu-period"], attributes["cpu-quota"] = "100000", strconv.FormatInt(int64(cpus*100000), 10)
	}
	options := client.SolveOpt{
		Frontend: frontend, FrontendAttrs: attributes,
		LocalMounts: map[string]fsutil.FS{"context": files(s.context), "dockerfile": files(s.recipe)},
		// Under a key that is used again the daemon compares files by size and time with an earlier build's, and times are
		// alike in many archives.
		SharedKey: rand.Text(),
		Session:   []session.Attachable{tokens, secret},
		Exports:   []client.ExportEntry{{Type: client.ExporterImage, Attrs: s.export()}},
		Internal:  true, // the daemon keeps no record of the build: what its log and its arguments say is for the registry's own people
	}
	if !s.order.Network {
		attributes["force-network-mode"] = "none"
		options.SourcePolicy = &spb.Policy{Version: 1, Rules: []*spb.Rule{{
			Action: spb.PolicyAction_DENY, Selector: &spb.Selector{Identifier: "^(https?|git)://", MatchType: spb.MatchType_REGEX},
		}}}
	}
	return options
}

// platform is what the daemon is told; "" leaves it to the daemon.
func (s *solve) platform() string {
	if !strings.Contains(s.order.Platform, "/") {
		return ""
	}
	return s.order.Platform
}

// export says what becomes of the image: same input, same digest.
func (s *solve) export() map[string]string {
	attributes := map[string]string{"rewrite-timestamp": "true", "oci-mediatypes": "true"}
	if len(s.order.Images) > 0 {
		attributes["name"] = strings.Join(s.order.Images, ",")
	}
	if s.order.Push {
		attributes["push"] = "true"
	}
	return attributes
}

func (s *solve) result(said map[string]string) (image.Result, error) {
	result := image.Result{Digest: said["containerimage.digest"], ImageID: said["containerimage.config.digest"]}
	if result.Digest == "" {
		return result, resource.Errorf(resource.Unavailable, "BuildKitAnswer", "The BuildKit daemon does not say which digest the image has.")
	}
	result.Bases, result.CachedSteps, result.RunSteps = s.log.bases(), s.log.cached, s.log.ran
	for _, name := range s.order.Images {
		s.log.say("Successfully tagged " + name)
		if s.order.Push {
			s.log.say(name[strings.LastIndex(name, ":")+1:] + ": digest: " + result.Digest)
			result.Pushed = append(result.Pushed, name)
		}
	}
	return result, nil
}
