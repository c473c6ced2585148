package laketest

import (
	"context"
	"io"
	"sync/atomic"

	"github.com/alvara-ml/alvara/featurestore/lake"
	"github.com/alvara-ml/alvara/resource"
)

// Faulty lets the first operations through and fails every later one, as a process that dies or loses its network
// does. It may be shared by goroutines.
type Faulty struct {
	lake.Bucket
	Left atomic.Int64 // operations that still succeed
	// Answerless makes the first failing write or delete happen all the same: only its answer is lost.
	Answerless bool
	Failed     atomic.Int64
}

// ErrLost is what a failing operation returns.
var ErrLost = resource.Errorf(resource.Unavailable, "ConnectionLost", "the connection to the storage service was lost; try again")

func (f *Faulty) fails() (first, failing bool) {
	if f.Left.Add(-1) >= 0 {
		return false, false
	}
	return f.Failed.Add(1) == 1, true
}

// List implements lake.Bucket.
func (f *Faulty) List(ctx context.Context, prefix string, yield func(lake.Object) error) error {
	if _, failing := f.fails(); failing {
		return ErrLost
	}
	return f.Bucket.List(ctx, prefix, yield)
}

// Read implements lake.Bucket.
func (f *Faulty) Read(ctx context.Context, name string, offset, length int64) (io.ReadCloser, error) {
	if _, failing := f.fails(); failing {
		return nil, ErrLost
	}
	return f.Bucket.Read(ctx, name, offset, length)
}

// Stat implements lake.Bucket.
func (f *Faulty) Stat(ctx context.Context, name string) (lake.Object, error) {
	if _, failing := f.fails(); failing {
		return lake.Object{}, ErrLost
	}
	return f.Bucket.Stat(ctx, name)
}

// Write implements lake.Bucket.
func (f *Faulty) Write(ctx context.Context, name string, r io.Reader, size int64, cond lake.Condition) (lake.Object, error) {
	first, failing := f.fails()
	if !failing {
		return f.Bucket.Write(ctx, name, r, size, cond)
	}
	if first && f.Answerless {
		if _, err := f.Bucket.Write(ctx, name, r, size, cond); err != nil {
			return lake.Object{}, err
		}
	}
	return lake.Object{}, ErrLost
}

// Delete implements lake.Bucket.
func (f *Faulty) Delete(ctx context.Context, name string) error {
	first, failing := f.fails()
	if !failing {
		return f.Bucket.Delete(ctx, name)
	}
	if first && f.Answerless {
		if err := f.Bucket.Delete(ctx, name); err != nil {
			return err
		}
	}
	return ErrLost
}
