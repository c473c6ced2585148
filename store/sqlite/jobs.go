package sqlite

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"sync"
	"time"

	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivermigrate"

	"github.com/alvara-ml/alvara/store"
)

// jobs is the durable queue: River, on the writer's connection, with a queue for each kind.
type jobs struct {
	store    *Store
	clock    func() time.Time
	retry    func(attempt int) time.Duration
	stopping sync.Once
	log      *slog.Logger
	driver   *driver
	insert   *river.Client[*sql.Tx] // runs nothing

	mu      sync.Mutex
	workers *river.Workers
	queues  map[string]river.QueueConfig
	run     *river.Client[*sql.Tx] // nil before Start, and when there are no workers
	started bool
	closed  bool
}

const (
	sqlRiverVersion = `SELECT max(version) FROM river_migration WHERE line = 'main'`

	// No other process works on this file: at Start, what is said to run was interrupted, and that attempt is repeated.
	sqlInterrupted = `UPDATE river_job SET state = 'available', attempt = max(attempt - 1, 0) WHERE state = 'running'`

	// River has its leader look for jobs that have become due, every five seconds, and costs a process that is idle a
	// hundredth of a core with it. Here no one leads: every job that waits is available with its time, River fetches it when
	// that has come, and the bell has a timer for it.
	sqlWaiting  = `UPDATE river_job SET state = 'available' WHERE state IN ('scheduled', 'retryable')`
	sqlDue      = `UPDATE river_job SET state = 'available' WHERE id = ? AND state IN ('scheduled', 'retryable')`
	sqlTimes    = `SELECT queue, scheduled_at FROM river_job WHERE state = 'available'`
	sqlFinished = `DELETE FROM river_job WHERE state IN ('completed', 'cancelled', 'discarded') AND finalized_at < ?`
)

// kept is how long a job's row stays after its end, for whoever looks into the file.
const kept = 24 * time.Hour

func newJobs(ctx context.Context, s *Store, set settings) (*jobs, error) {
	j := &jobs{
		store: s, clock: set.clock, retry: set.retry, log: set.log,
		driver: newDriver(s.writes), workers: river.NewWorkers(), queues: map[string]river.QueueConfig{},
	}
	migrator, err := rivermigrate.New(j.driver, &rivermigrate.Config{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return nil, err
	}
	versions := migrator.AllVersions()
	var have sql.NullInt64
	_ = s.writes.QueryRowContext(ctx, sqlRiverVersion).Scan(&have) // fails when there is no such table yet
	if int(have.Int64) != versions[len(versions)-1].Version {
		if _, err := migrator.Migrate(ctx, rivermigrate.DirectionUp, nil); err != nil {
			return nil, err
		}
	}
	j.insert, err = river.NewClient(j.driver, &river.Config{Logger: slog.New(warnings{j.log.Handler()})})
	return j, err
}

// queue is River's name for a kind and for its queue: it allows few characters in them.
func queue(kind string) string {
	sum := sha256.Sum256([]byte(kind))
	return "k" + hex.EncodeToString(sum[:12])
}

// args is a job as River takes it. The body is wrapped: River hands SQLite the text as a BLOB, and SQLite takes some short
// texts for its binary form of JSON ("abcde" with its quotes, {"a":12}), whose first byte tells a length that fits.
type args struct {
	Name string          `json:"kind"`
	Body json.RawMessage `json:"body"`
}

// Kind is what River knows the kind by.
func (a args) Kind() string { return queue(a.Name) }

// add inserts a job in tx; told tells the queue after the commit.
func (j *jobs) add(tx *sql.Tx, op store.Enqueue) (told func(), err error) {
	ctx := context.Background()
	opts := &river.InsertOpts{MaxAttempts: op.Attempts(), Queue: queue(op.Kind)}
	wait := time.Duration(0)
	if !op.RunAt.IsZero() {
		wait = max(op.RunAt.Sub(j.clock()), 0)
	}
	if wait > 0 {
		opts.ScheduledAt = time.Now().Add(wait)
	}
	inserted, err := j.insert.InsertTx(ctx, tx, args{op.Kind, op.Body}, opts)
	if err != nil {
		return nil, err
	}
	if wait > 0 {
		if _, err := tx.ExecContext(ctx, sqlDue, inserted.Job.ID); err != nil {
			return nil, err
		}
	}
	return func() { j.driver.bell.after(wait, func() { j.driver.bell.ring(opts.Queue) }) }, nil
}

// Work is Store.Work.
func (j *jobs) Work(kind string, concurrency int, run func(context.Context, store.Job) error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if _, twice := j.queues[queue(kind)]; twice || j.started || concurrency < 1 || run == nil {
		panic(fmt.Sprintf("store: Work(%q, %d): must come before Start, once for a kind, with a concurrency of at least 1", kind, concurrency))
	}
	j.queues[queue(kind)] = river.QueueConfig{MaxWorkers: concurrency}
	river.AddWorkerArgs(j.workers, args{Name: kind}, &worker{jobs: j, run: run})
}

// Start is Store.Start.
func (j *jobs) Start(ctx context.Context) (err error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.started || j.closed {
		return errors.New("store: Start was called twice, or after Close")
	}
	j.started = true
	if len(j.queues) == 0 {
		return nil
	}
	if err := j.resume(ctx); err != nil {
		return err
	}
	j.run, err = river.NewClient(j.driver, &river.Config{
		Logger: slog.New(warnings{j.log.Handler()}), Workers: j.workers, Queues: j.queues,
		FetchCooldown: time.Millisecond, FetchPollInterval: time.Minute, LeaderElectionDisabled: true,
		JobTimeout: -1, RescueStuckJobsAfter: math.MaxInt64, // a job may take as long as it wants
	})
	if err != nil {
		return err
	}
	return j.run.Start(context.WithoutCancel(ctx))
}

// resume makes ready what an earlier process left.
func (j *jobs) resume(ctx context.Context) error {
	db := j.store.writes
	for _, statement := range []string{sqlInterrupted, sqlWaiting} {
		if _, err := db.ExecContext(ctx, statement); err != nil {
			return err
		}
	}
	rows, err := db.QueryContext(ctx, sqlTimes)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var queue string
		var at time.Time
		if err := rows.Scan(&queue, &at); err != nil {
			return err
		}
		j.driver.bell.after(time.Until(at), func() { j.driver.bell.ring(queue) })
	}
	j.clean()
	return rows.Err()
}

// clean removes the rows of jobs that ended long ago, now and every hour.
func (j *jobs) clean() {
	j.driver.bell.after(time.Hour, j.clean)
	go func() {
		before := time.Now().UTC().Add(-kept).Format("2006-01-02 15:04:05.000")
		if _, err := j.store.writes.Exec(sqlFinished, before); err != nil && !j.driver.bell.silent() {
			j.log.Warn("ended jobs could not be removed", "error", err)
		}
	}()
}

// due makes a job whose time has come available and tells River.
func (j *jobs) due(id int64, queue string) {
	if _, err := j.store.writes.Exec(sqlDue, id); err != nil {
		j.log.Error("a job could not be made available; it runs after the next start", "job", id, "error", err)
		return
	}
	j.driver.bell.ring(queue)
}

// Close stops the queue as Store.Close says.
func (j *jobs) Close(ctx context.Context) (err error) {
	j.stopping.Do(func() { err = j.stop(ctx) })
	return err
}

func (j *jobs) stop(ctx context.Context) error {
	j.mu.Lock()
	run := j.run
	j.closed = true
	j.mu.Unlock()
	j.driver.bell.silence()
	if run == nil {
		return nil
	}
	err := run.Stop(ctx)
	if ctx.Err() == nil {
		return err
	}
	if err := run.StopAndCancel(context.WithoutCancel(ctx)); err != nil {
		return err
	}
	return ctx.Err()
}

// worker runs the jobs of one kind.
type worker struct {
	river.WorkerDefaults[args]
	jobs *jobs
	run  func(context.Context, store.Job) error
}

// Work is one attempt.
func (w *worker) Work(ctx context.Context, row *river.Job[args]) error {
	w.jobs.store.told()
	err := w.run(ctx, store.Job{
		ID: row.ID, Kind: row.Args.Name, Body: row.Args.Body, Attempt: row.Attempt, MaxAttempts: row.MaxAttempts,
	})
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil: // Close cancelled it: the attempt is repeated after the next Start
		return river.JobSnooze(0)
	case store.IsFatal(err):
		return river.JobCancel(err)
	}
	return err
}

// NextRetry is when a job that failed is tried again.
func (w *worker) NextRetry(row *river.Job[args]) time.Time {
	wait := w.jobs.retry(row.Attempt)
	w.jobs.driver.bell.after(wait, func() { w.jobs.due(row.ID, row.Queue) })
	return time.Now().Add(wait)
}

// warnings passes on what is worth a look; that the queue starts and stops is not.
type warnings struct{ slog.Handler }

func (w warnings) Enabled(ctx context.Context, level slog.Level) bool {
	return level >= slog.LevelWarn && w.Handler.Enabled(ctx, level)
}

func (w warnings) WithAttrs(attrs []slog.Attr) slog.Handler {
	return warnings{w.Handler.WithAttrs(attrs)}
}

func (w warnings) WithGroup(name string) slog.Handler { return warnings{w.Handler.WithGroup(name)} }
