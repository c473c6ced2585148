package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/alvara-ml/alvara/dataplane/blob"
	"github.com/alvara-ml/alvara/dataplane/features"
	"github.com/alvara-ml/alvara/featurestore/engine/duckdb"
	"github.com/alvara-ml/alvara/featurestore/online/pebble"
	"github.com/alvara-ml/alvara/identity"
	"github.com/alvara-ml/alvara/provider/machinelearning"
	"github.com/alvara-ml/alvara/resource"
)

// jobLog is the file of a job's log.
func (s *Server) jobLog(job resource.ID) string {
	return s.config.path("logs", "jobs", filepath.Base(job.Name())+".log")
}

// openJobLog gives the function that appends lines to a job's log.
func (s *Server) openJobLog(job resource.ID) (func(string), func() error, error) {
	path := s.jobLog(job)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, nil, err
	}
	file, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, nil, err
	}
	write := func(line string) {
		// A full disk costs lines of the log and not the job.
		_, _ = fmt.Fprintf(file, "%s %s\n", s.config.Clock().UTC().Format(time.RFC3339), line)
	}
	return write, file.Close, nil
}

// maxLogPart is how much of a job's log one request gets, in bytes.
const maxLogPart = 256 << 10

// readJobLog reads a part of a job's log.
func (s *Server) readJobLog(_ context.Context, job resource.ID, offset int64) ([]byte, int64, error) {
	file, err := os.Open(s.jobLog(job))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, offset, nil
	}
	if err != nil {
		return nil, 0, err
	}
	defer func() { _ = file.Close() }() // only read
	part := make([]byte, maxLogPart)
	n, err := file.ReadAt(part, offset)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, 0, err
	}
	return part[:n], offset + int64(n), nil
}

// featuresPath is where the plane of feature values lies on the main listener.
const featuresPath = "/features"

// openFeatureStore opens what feature stores work with and gives the provider its dependencies.
func (s *Server) openFeatureStore(context.Context) (machinelearning.Deps, error) {
	var err error
	if s.online, err = pebble.Open(s.config.path("online"), pebble.Options{Log: s.config.Log}); err != nil {
		return machinelearning.Deps{}, err
	}
	s.onClose(func(context.Context) error { return s.online.Close() })
	scratch := s.config.path("scratch")
	runner, err := s.runner(scratch)
	if err != nil {
		return machinelearning.Deps{}, err
	}
	begin, err := s.retrievals(scratch)
	if err != nil {
		return machinelearning.Deps{}, err
	}
	catalog, err := machinelearning.OpenCatalog(s.store)
	if err != nil {
		return machinelearning.Deps{}, err
	}
	s.blob.Owners = func(container blob.Container, path string) []resource.ID { return catalog.Owners(container.ID, path) }
	s.features = &features.Server{
		Prefix: featuresPath, Catalog: catalog, Guard: s.guard, Authenticator: s.verify, Online: s.online,
		Begin:      begin,
		WriteError: func(w http.ResponseWriter, err error, requestID string) { s.manager.WriteError(w, err, requestID) },
		Clock:      s.config.Clock, Log: s.config.Log,
	}
	compute := &duckdb.Engine{Command: append(append([]string{}, s.config.Program...), duckdb.ComputeArgument), Logger: s.config.Log}
	nodes, err := machinelearning.OpenNodes(s.store, s.config.Nodes, s.config.Clock)
	if err != nil {
		return machinelearning.Deps{}, err
	}
	materializer := &machinelearning.Materializer{
		Store: s.store, Runner: runner, TimeLimit: s.config.JobTime, Clock: s.config.Clock, OpenLog: s.openJobLog,
		Tell: func(job resource.ID, err error) {
			s.config.Log.Error("materialization failed", "job", job.String(), "error", err)
		},
	}
	s.store.Work(machinelearning.MaterializeJob, s.config.Jobs, materializer.Run)
	return machinelearning.Deps{
		Sealer: s.sealer, Read: s.readBlob, List: s.listBlobs, CheckSQL: compute.CheckSQL, Cancel: materializer.Cancel, Log: s.readJobLog,
		Open: s.openBlob, Nodes: nodes, Registries: environmentRegistries{s},
		DiscoveryURL: s.Endpoints.ResourceManager + "/discovery",
		DropOnline: func(ctx context.Context, version resource.ID) error {
			err := s.online.DropTable(ctx, version.Key())
			if resource.KindOf(err) == resource.NotFound {
				return nil
			}
			return err
		},
	}, nil
}

// readBlob reads a small object as somebody.
func (s *Server) readBlob(ctx context.Context, who identity.Principal, account, container, path string) ([]byte, error) {
	const most = 1 << 20
	_, reader, err := s.blob.As(who, "").Read(ctx, account, container, path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = reader.Close() }() // only read
	text, err := io.ReadAll(io.LimitReader(reader, most+1))
	if err == nil && len(text) > most {
		err = resource.Errorf(resource.TooLarge, "FileTooLarge", "%s has more than %d bytes", path, most)
	}
	return text, err
}

// listedAtMost is how many names make a list long enough to be refused by whoever asked for it.
const listedAtMost = 10_000

// listBlobs names the objects below a prefix as somebody, up to somewhat more than listedAtMost.
func (s *Server) listBlobs(ctx context.Context, who identity.Principal, account, container, prefix string) ([]string, error) {
	var names []string
	for from := ""; ; {
		page, err := s.blob.As(who, "").List(ctx, account, container, blob.ListQuery{Prefix: prefix, From: from, Limit: 1000})
		if err != nil {
			return nil, err
		}
		for _, entry := range page.Entries {
			names = append(names, entry.Object.Name)
		}
		if from = page.Next; from == "" || len(names) > listedAtMost {
			return names, nil
		}
	}
}
