package launch

import (
	"context"
	"fmt"
	"maps"
	"runtime"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"golang.org/x/sync/errgroup"

	"github.com/alvara-ml/alvara/image/layer"
	"github.com/alvara-ml/alvara/image/pull"
	"github.com/alvara-ml/alvara/resource"
	"github.com/alvara-ml/alvara/workload"
)

// pulled is an image, unpacked and held. The zero one is none.
type pulled struct {
	layers []string // folders, the lowest first
	locks  []string // files whose shared locks hold them
	config v1.Config
	held   []*layer.Held
}

func (p *pulled) release() {
	for _, held := range p.held {
		if held != nil {
			held.Release()
		}
	}
}

// pull gets the order's image as its puller.
func (l *Launcher) pull(ctx context.Context, order workload.Order, tell func(string)) (_ *pulled, err error) {
	if !l.isolated() {
		if len(order.Command) == 0 {
			return nil, invalid("command", "A command is needed: without isolation (serve --job-backend process) images are not used, and so not their commands.")
		}
		return &pulled{}, nil
	}
	if order.Image == "" {
		return nil, invalid("image", "An image is needed: runs are in sandboxes, which have a root file system of their own.")
	}
	reference, err := name.ParseReference(order.Image)
	if err != nil {
		return nil, invalid("image", "The image %q is no reference; write [host/]repository[:tag][@digest].", order.Image)
	}
	registries, err := l.registries(ctx, order.Puller, reference.Context().RegistryStr())
	if err != nil {
		return nil, err
	}
	image, err := registries.Resolve(ctx, order.Image)
	if err != nil {
		return nil, err
	}
	tell(fmt.Sprintf("Pulling %s (%s) as %s.", image.Reference, image.Digest, pullerName(order.Puller)))
	p := &pulled{config: image.Config.Config, held: make([]*layer.Held, len(image.Layers))}
	defer func() {
		if err != nil {
			p.release()
		}
	}()
	group, pulling := errgroup.WithContext(ctx)
	group.SetLimit(4)
	for i := range image.Layers {
		group.Go(func() (err error) {
			p.held[i], err = image.Hold(pulling, i)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return p, err
	}
	for i, held := range p.held {
		// What a layer says is hidden by itself when it is there again above.
		if !slices.ContainsFunc(p.held[i+1:], func(above *layer.Held) bool { return above.Folder == held.Folder }) {
			p.layers, p.locks = append(p.layers, held.Folder), append(p.locks, held.Lock())
		}
	}
	return p, nil
}

// registries speak to one host as a puller, where tokens of identities may go there; to others as nobody.
func (l *Launcher) registries(ctx context.Context, puller workload.Puller, host string) (*pull.Registries, error) {
	own, err := l.Registries.Own(ctx)
	if err != nil {
		return nil, err
	}
	r := &pull.Registries{
		Transport: l.Registries.Transport, Credentials: map[string]pull.Credential{}, Own: slices.Collect(maps.Keys(own)), Trusted: l.Registries.Trusted,
		Store: l.Layers, Proofs: l.Proofs, Platform: v1.Platform{OS: "linux", Architecture: runtime.GOARCH},
		Token:  func(ctx context.Context, _ string) (string, error) { return l.Registries.Token(ctx, puller.Who.ID) },
		Scopes: own, Who: "the run",
	}
	_, isOwn := own[host]
	switch {
	case puller.Username != "":
		r.Credentials[host] = pull.Credential{Username: puller.Username, Password: puller.Password}
	case puller.Who.ID != "" && (isOwn || slices.Contains(r.Trusted, host)):
		r.Credentials[host] = pull.Credential{Identity: pull.System, Principal: puller.Who.ID}
	}
	return r, nil
}

func pullerName(puller workload.Puller) string {
	switch {
	case puller.Username != "":
		return fmt.Sprintf("the user %q", puller.Username)
	case puller.Who.ID != "":
		return called(puller.Who)
	}
	return "nobody"
}

// command is what the order runs, and where: its own command in the folder of the code, the image's where the image says.
func (p *pulled) command(order workload.Order, at place) (words []string, dir string, err error) {
	if len(order.Command) > 0 {
		return order.Command, at.inside.code, nil
	}
	words = slices.Concat(p.config.Entrypoint, p.config.Cmd)
	if len(words) == 0 {
		return nil, "", resource.Invalidf("InvalidWorkload", "The image %s has neither an entrypoint nor a command; give the command to run.", order.Image).At("command")
	}
	dir = at.inside.code
	if len(order.Code) == 0 {
		dir = p.config.WorkingDir
	}
	if dir != "" && !strings.HasPrefix(dir, "/") {
		dir = "/" + dir
	}
	return words, dir, nil
}
