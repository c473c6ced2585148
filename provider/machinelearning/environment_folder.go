package machinelearning

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/alvara-ml/alvara/arm"
	"github.com/alvara-ml/alvara/image/dockerfile"
	"github.com/alvara-ml/alvara/resource"
)

const (
	maxContextFiles = 10_000
	maxContextBytes = 1 << 30
	maxDockerfile   = 1 << 20 // bytes
)

// folderSource packs the folder of a Dockerfile, which is read as the caller: a workspace's identity reads nothing for those who may
// not read it themselves.
func (d Deps) folderSource(ctx context.Context, call *arm.Call, r *arm.Resource[EnvironmentVersion]) (*buildSource, error) {
	build := r.Properties.Build
	account, container, folder, err := contextPlace(ctx, call, r)
	if err != nil {
		return nil, err
	}
	names, err := d.List(ctx, call.Who, account, container, folder)
	if err != nil {
		return nil, err
	}
	if len(names) > maxContextFiles {
		return nil, resource.Errorf(resource.TooLarge, "ContextTooLarge", "The folder %s has more than %d files; leave only what the image needs there.", build.ContextURI, maxContextFiles)
	}
	p, err := newPacker()
	if err != nil {
		return nil, err
	}
	s := &buildSource{dockerfile: build.DockerfilePath, files: map[string]string{}, packed: p.file}
	text, err := d.pack(ctx, call, p, s, account, container, folder, names)
	if err != nil {
		s.close()
		return nil, err
	}
	plan, err := dockerfile.Parse(text, dockerfile.Options{})
	if err != nil {
		s.close()
		return nil, err
	}
	s.bases = imagesOf(plan)
	return s, nil
}

// pack reads a folder's files into a source, and gives the text of its Dockerfile.
func (d Deps) pack(ctx context.Context, call *arm.Call, p *packer, s *buildSource, account, container, folder string, names []string) ([]byte, error) {
	var text bytes.Buffer
	left := int64(maxContextBytes)
	slices.Sort(names)
	for _, name := range names {
		path := strings.TrimPrefix(name, folder)
		if path == "" || strings.HasSuffix(path, "/") {
			continue // the mark of a folder
		}
		content, size, err := d.Open(ctx, call.Who, account, container, name)
		if err != nil {
			return nil, err
		}
		sum, read := sha256.New(), io.Reader(content)
		if path == s.dockerfile {
			read = io.TeeReader(read, &text)
		}
		switch left -= size; {
		case left < 0:
			err = resource.Errorf(resource.TooLarge, "ContextTooLarge", "The folder has more than %d bytes; leave only what the image needs there.", int64(maxContextBytes))
		case path == s.dockerfile && size > maxDockerfile:
			err = resource.Errorf(resource.TooLarge, "DockerfileTooLarge", "%s has more than %d bytes", path, maxDockerfile)
		default:
			err = p.add(path, size, io.TeeReader(read, sum))
		}
		_ = content.Close() // only read
		if err != nil {
			return nil, err
		}
		s.files[path] = hex.EncodeToString(sum.Sum(nil))
	}
	if _, found := s.files[s.dockerfile]; !found {
		return nil, resource.NotFoundf("DockerfileNotFound", "The folder has no file %q; files: %d. Put the Dockerfile there, or name it with dockerfilePath in a new version.", s.dockerfile, len(s.files))
	}
	return text.Bytes(), p.close()
}

// contextPlace is the folder of a Dockerfile: account, container, and a prefix that ends in a slash.
func contextPlace(ctx context.Context, call *arm.Call, r *arm.Resource[EnvironmentVersion]) (account, container, folder string, err error) {
	const field = "properties.build.contextUri"
	at, err := uriPlace(ctx, call, r.ID.Parent().Parent(), r.Properties.Build.ContextURI)
	if e, ok := resource.AsError(err); ok && e.Kind == resource.Invalid {
		return "", "", "", resource.Invalidf(e.Code, "%s: %s", field, e.Message).At(field)
	}
	if at.Path != "" {
		folder = at.Path + "/"
	}
	return at.Account, at.Container, folder, err
}

// imagesOf are the images of other registries that a Dockerfile needs, in its order, each once.
func imagesOf(plan *dockerfile.Plan) []string {
	var out []string
	add := func(image string) {
		if image != "" && image != dockerfile.Scratch && !slices.Contains(out, image) {
			out = append(out, image)
		}
	}
	for _, stage := range plan.Stages {
		add(stage.BaseImage)
		sources := stage.Sources()
		for _, word := range slices.Sorted(maps.Keys(sources)) {
			add(sources[word].Image)
		}
	}
	return out
}

// packer writes a context as tar.gz into a file without a name.
type packer struct {
	file *os.File
	zip  *gzip.Writer
	tar  *tar.Writer
}

func newPacker() (*packer, error) {
	file, err := os.CreateTemp("", "alvara-environment-*")
	if err != nil {
		return nil, err
	}
	if err := os.Remove(file.Name()); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	zip := gzip.NewWriter(file)
	return &packer{file, zip, tar.NewWriter(zip)}, nil
}

// add adds a file of a size, in bytes. Storage keeps no modes, so that every file may be executed.
func (p *packer) add(name string, size int64, content io.Reader) error {
	if err := p.tar.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o755, Size: size}); err != nil {
		return fmt.Errorf("the file %s of the context: %w", name, err)
	}
	if _, err := io.CopyN(p.tar, content, size); err != nil {
		return fmt.Errorf("the file %s of the context: %w", name, err)
	}
	return nil
}

func (p *packer) close() error { return errors.Join(p.tar.Close(), p.zip.Close()) }
