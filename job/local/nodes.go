package local

import (
	"context"
	"fmt"
	"slices"
	"strconv"

	"github.com/alvara-ml/alvara/job"
	"github.com/alvara-ml/alvara/resource"
)

// result is how a node ended; err is why it could not be begun.
type result struct {
	rank int
	node job.Node
	err  error
}

func (r result) failed() bool { return r.err != nil || r.node.ExitCode != 0 }

// nodes runs them all. The first that fails ends the others.
func (s *supervisor) nodes(ctx context.Context, cancel context.CancelCauseFunc, site job.Site) error {
	count := s.order.Spec.Nodes
	results := make(chan result, count)
	for rank := range count {
		go func() { results <- s.node(ctx, site, rank) }()
	}
	stopping := ctx.Done()
	for left := count; left > 0; {
		select {
		case r := <-results:
			left--
			s.status.Nodes[r.rank] = r.node
			if r.failed() && s.first == nil {
				s.first = &r
				cancel(errPeer) // which changes nothing when the run is being ended already
			}
		case <-stopping:
			stopping = nil
			s.status.State = job.Ending
			if err := s.record(); err != nil { // the disk is full: the last record will tell
				continue
			}
		}
	}
	return nil
}

func (s *supervisor) node(ctx context.Context, site job.Site, rank int) result {
	spec := s.order.Spec
	log, err := openLog(s.folder.logPath(rank), spec.Limits.LogBytes)
	if err != nil {
		return result{rank: rank, err: err}
	}
	env := slices.Concat(spec.Env, spec.Secrets)
	if spec.Nodes > 1 {
		env = append(env, distribution(rank, spec.Nodes, site.MasterPort())...)
	}
	node, err := site.Run(ctx, job.Task{Rank: rank, Env: env, Output: log})
	node.LogBytes, node.LogLost = log.finish()
	return result{rank: rank, node: node, err: err}
}

// distribution is how a node finds the others, in the words of the usual libraries.
func distribution(rank, count, port int) []string {
	r, n := strconv.Itoa(rank), strconv.Itoa(count)
	return []string{
		"NODE_RANK=" + r, "RANK=" + r, "LOCAL_RANK=0", "NODE_COUNT=" + n, "WORLD_SIZE=" + n, "LOCAL_WORLD_SIZE=1",
		"MASTER_ADDR=127.0.0.1", "MASTER_PORT=" + strconv.Itoa(port),
	}
}

// judge says how the run ended: cause is why it was told to, err why it could not be begun.
func (s *supervisor) judge(cause, err error) {
	fail := func(reason job.Reason, format string, args ...any) {
		s.status.State, s.status.Reason, s.status.Message = job.Failed, reason, fmt.Sprintf(format, args...)
	}
	if s.first != nil && err == nil {
		err = s.first.err
	}
	switch {
	case cause == errCanceled:
		s.status.State, s.status.Message = job.Canceled, "The run was canceled."
	case cause == errFull:
		fail(job.DiskFull, "The server's disk was nearly full, so that the run was ended. Have it write less, or make room.")
	case cause == errTimeout:
		fail(job.Timeout, "The run was not done within its time limit of %v, and was ended.", s.order.Spec.Limits.Timeout)
	case err != nil:
		fail(job.StartFailed, "%s", sentence(err))
	case s.first == nil:
		s.status.State = job.Completed
	case s.first.node.OutOfMemory:
		fail(job.OutOfMemory, "%s needed more memory than its limit; raise it or let the command do with less.", s.who())
	case s.first.node.Signal != "":
		fail(job.ExitCode, "%s was ended by the signal %s.", s.who(), s.first.node.Signal)
	default:
		fail(job.ExitCode, "%s ended with the exit code %d.", s.who(), s.first.node.ExitCode)
	}
}

func (s *supervisor) who() string {
	if s.order.Spec.Nodes == 1 {
		return "The command"
	}
	return fmt.Sprintf("The command of node %d", s.first.rank)
}

func sentence(err error) string {
	if known, ok := resource.AsError(err); ok && known.Kind != resource.Internal {
		return known.Message
	}
	return fmt.Sprintf("The run could not be begun: %v.", err)
}
