package machinelearning

import (
	"context"
	"fmt"
	"io"

	"github.com/alvara-ml/alvara/arm"
	"github.com/alvara-ml/alvara/identity"
	"github.com/alvara-ml/alvara/job"
	"github.com/alvara-ml/alvara/resource"
	"github.com/alvara-ml/alvara/workload"
)

// bodyOf is how many bytes the output of a run's first node has, now that it has ended.
func bodyOf(ctx context.Context, run workload.Launched, status job.Status) (int64, error) {
	if len(status.Nodes) == 0 {
		return 0, nil
	}
	return run.Logs(ctx, 0, status.Nodes[0].LogBytes, false, io.Discard)
}

// ArtifactLimits bounds what of a job's artifacts is written to its workspace's datastore. A zero field takes its default, which
// stands beside it.
type ArtifactLimits struct {
	Bytes int64 // of all of them, where holes count; 10 GiB
	Files int   // 100,000
}

func (l ArtifactLimits) withDefaults() ArtifactLimits {
	if l.Bytes == 0 {
		l.Bytes = 10 << 30
	}
	if l.Files == 0 {
		l.Files = 100_000
	}
	return l
}

// within gives those artifacts that the limits let be written, and how many bytes these are. What is left out is told of.
func (c *carrying) within(left []workload.Artifact) (kept []workload.Artifact, bytes int64) {
	limits := c.Keep.withDefaults()
	for _, file := range left {
		if len(kept) < limits.Files && file.Size <= limits.Bytes-bytes {
			kept, bytes = append(kept, file), bytes+file.Size
		}
	}
	if out := len(left) - len(kept); out > 0 {
		c.write(logTail, fmt.Sprintf("Warning: %d of %d artifacts are not in the datastore %s and can be had from this server alone: a job's are kept there up to %d files and %d bytes.",
			out, len(left), artifactStore, limits.Files, limits.Bytes))
	}
	return kept, bytes
}

// keepArtifacts writes what a run has left, and its output, to the workspace's datastore for that, as the workspace's identity. This
// server keeps all of it too, so that what goes wrong is said in the log and does not fail the job.
func (c *carrying) keepArtifacts(ctx context.Context, run workload.Launched, left []workload.Artifact, body int64) {
	if len(left) == 0 && body == 0 {
		return
	}
	who, at, err := c.artifactPlace(ctx)
	left, bytes := c.within(left)
	if err == nil && c.Room != nil {
		err = c.Room(bytes + body)
	}
	for _, file := range left {
		if err != nil {
			break
		}
		var content io.ReadCloser
		if content, err = run.OpenArtifact(file.Path); err == nil {
			err = c.Write(ctx, who, at.Account, at.Container, at.below(artifactFolder+file.Path), io.LimitReader(content, file.Size))
			_ = content.Close() // only read
		}
	}
	if err == nil && body > 0 {
		reader, writer := io.Pipe()
		go func() {
			_, fault := run.Logs(ctx, 0, 0, false, writer)
			_ = writer.CloseWithError(fault) // never fails
		}()
		err = c.Write(ctx, who, at.Account, at.Container, at.below("user_logs/std_log.txt"), reader)
		_ = reader.Close() // lets the writer go
	}
	if err != nil {
		c.write(logTail, "Warning: artifacts and logs are not in the datastore "+artifactStore+" and can be had from this server alone: "+told(err))
		c.Log.Warn("artifacts were not stored", "job", c.id.String(), "error", err)
	}
}

// artifactPlace is where a job's artifacts are written to, and as whom.
func (c *carrying) artifactPlace(ctx context.Context) (identity.Principal, place, error) {
	call := &arm.Call{Manager: c.Manager, Job: c.job.Properties.Run.ID}
	workspace, err := workspaceOf(ctx, call, c.id.Parent())
	if err != nil {
		return identity.Principal{}, place{}, err
	}
	principal, err := principalOf(ctx, call, workspace)
	if err != nil {
		return identity.Principal{}, place{}, err
	}
	who, known := c.Manager.Identities.Lookup(principal)
	if !known {
		return who, place{}, resource.Invalidf("IdentityNotFound", "the identity that the workspace works as is not in the directory any more")
	}
	at, err := uriPlace(ctx, call, c.id.Parent(), artifactsURI(c.id.Name()))
	return who, at, err
}
