package machinelearning

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"os"
	"strings"

	"github.com/alvara-ml/alvara/arm"
)

// digestLength is how much of the hash of a content names its image, in hexadecimal digits.
const digestLength = 32

// buildSource is what a registry's run builds from.
type buildSource struct {
	dockerfile string   // its path in the context
	bases      []string // images that it begins with or copies from, in the Dockerfile's order
	conda      string   // the conda file, when the Dockerfile is written here
	files      map[string]string
	packed     *os.File // the context as tar.gz; nil until it is packed
}

// sourceOf gives the source of an environment's image.
func (d Deps) sourceOf(ctx context.Context, call *arm.Call, r *arm.Resource[EnvironmentVersion]) (*buildSource, error) {
	if p := r.Properties; p.Build == nil {
		return &buildSource{dockerfile: "Dockerfile", bases: []string{p.Image}, conda: p.CondaFile}, nil
	}
	return d.folderSource(ctx, call, r)
}

// hash names the content: what was written, and which images it stands on.
func (s *buildSource) hash(bases []base) string {
	images := make([][2]string, len(bases))
	for i, b := range bases {
		images[i] = [2]string{b.reference, b.digest}
	}
	text, _ := json.Marshal(map[string]any{ // texts and maps of texts
		"recipe": 1, "dockerfile": s.dockerfile, "conda": s.conda, "files": s.files, "bases": images,
	})
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])[:digestLength]
}

// condaPlace is where the conda file lies in the context.
const condaPlace = "azureml-environment-setup/conda.yaml"

// complete packs the source that is written here, now that its base is known.
func (s *buildSource) complete(bases []base, hash string) error {
	if s.conda == "" {
		return nil
	}
	at := "/azureml-envs/azureml_" + hash
	text := strings.Join([]string{
		"FROM " + bases[0].pinned(),
		"USER 0",
		"WORKDIR /",
		"COPY " + condaPlace + " /" + condaPlace,
		"RUN command -v conda > /dev/null || { echo 'the base image has no conda, which installs the packages of the conda file; name another image, or use a Dockerfile' >&2; exit 1; }",
		"RUN conda env create -p " + at + " -f /" + condaPlace + " && conda clean -aqy",
		"ENV PATH=" + at + "/bin:$PATH AZUREML_CONDA_ENVIRONMENT_PATH=" + at + " CONDA_DEFAULT_ENV=" + at,
		"ENV LD_LIBRARY_PATH=" + at + "/lib:$LD_LIBRARY_PATH",
		"",
	}, "\n")
	p, err := newPacker()
	if err != nil {
		return err
	}
	s.packed = p.file
	for _, file := range []struct{ name, text string }{{s.dockerfile, text}, {condaPlace, s.conda}} {
		if err := p.add(file.name, int64(len(file.text)), strings.NewReader(file.text)); err != nil {
			return err
		}
	}
	return p.close()
}

// send uploads the packed source.
func (s *buildSource) send(ctx context.Context, to Registries, url string) error {
	size, err := s.packed.Seek(0, io.SeekEnd)
	if err != nil {
		return err
	}
	if _, err := s.packed.Seek(0, io.SeekStart); err != nil {
		return err
	}
	return to.Upload(ctx, url, s.packed, size)
}

func (s *buildSource) close() {
	if s.packed != nil {
		_ = s.packed.Close() // it has no name any more
	}
}
