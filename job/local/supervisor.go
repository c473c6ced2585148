package local

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/signal"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/alvara-ml/alvara/job"
	"github.com/alvara-ml/alvara/job/room"
	"github.com/alvara-ml/alvara/job/socket"
	"github.com/alvara-ml/alvara/resource"
)

// Argument is the hidden command with which this program becomes the supervisor of a run: Argument and the run's folder.
const Argument = "job-supervisor"

// The files that a supervisor is started with.
const (
	lockFD = 3 + iota
	aliveFD
	controlFD
	heldFD // and those that follow, as many as Spec.Hold
)

// A supervisor does not wait for the packages whose variables are initialized after this one, as package sandbox does not: in a
// large program that takes longer than to start the job.
func init() {
	if IsSupervisor(os.Args) {
		os.Exit(Main(os.Args))
	}
}

// IsSupervisor tells that this process is to supervise a run. A program that starts runs asks it before everything else, with
// os.Args, and exits with what Main returns; one that does not is a supervisor all the same.
func IsSupervisor(args []string) bool { return len(args) == 3 && args[1] == Argument }

// Main supervises a run to its end.
func Main(args []string) (status int) {
	for fd := lockFD; fd <= controlFD; fd++ {
		unix.CloseOnExec(fd)
	}
	// Caught and not ignored: commands would inherit that.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGHUP, syscall.SIGPIPE)
	s := &supervisor{folder: folder(args[2]), clock: time.Now}
	if err := s.run(); err != nil {
		_, _ = fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// supervisor sees one run to its end.
type supervisor struct {
	folder folder
	order  order
	clock  func() time.Time
	status job.Status
	first  *result // of a node that failed
}

// Why a run is ended before it ends itself: the causes of its context.
var (
	errCanceled = errors.New("canceled")
	errTimeout  = errors.New("the time is over")
	errPeer     = errors.New("another node failed")
	errFull     = errors.New("the disk is full")
	errGone     = errors.New("the run's folder is gone")
)

const reserveBytes = 64 << 10

func (s *supervisor) run() error {
	var err error
	if s.order, err = s.folder.order(); err != nil {
		return err
	}
	for i := range s.order.Spec.Hold {
		unix.CloseOnExec(heldFD + i)
	}
	driver, err := driverOf(s.order.Kind)
	if err != nil {
		return err
	}
	if err := os.WriteFile(s.folder.path(reserveName), make([]byte, reserveBytes), 0o600); err != nil {
		return err
	}
	s.status = job.Status{State: job.Starting, Isolation: s.order.Isolation, Nodes: make([]job.Node, s.order.Spec.Nodes)}
	if err := s.record(); err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(context.Background())
	defer cancel(nil)
	go listen(cancel)
	go s.folder.watch(cancel)
	go s.guardDisk(cancel)

	err = s.work(ctx, cancel, driver)
	s.judge(context.Cause(ctx), err)
	s.status.Ended = s.clock()
	return s.last()
}

// listen cancels the run when it is told to.
func listen(cancel context.CancelCauseFunc) {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT)
	go func() {
		for lines := bufio.NewScanner(os.NewFile(controlFD, controlName)); lines.Scan(); {
			if lines.Text()+"\n" == cancelCommand {
				cancel(errCanceled)
			}
		}
	}()
	<-signals
	cancel(errCanceled)
}

// lookEvery is how often a supervisor looks whether its run is still somebody's.
const lookEvery = 5 * time.Second

// watch ends a run whose folder was removed, with all else of its server: nobody could ever find it again.
func (f folder) watch(cancel context.CancelCauseFunc) {
	for range time.Tick(lookEvery) {
		if _, err := os.Lstat(f.path(orderName)); errors.Is(err, fs.ErrNotExist) {
			cancel(errGone)
		}
	}
}

// guardEvery is how often a supervisor looks how full the disk is: what can be written in the meantime must be less than the reserve.
const guardEvery = time.Second

// guardDisk ends the run when the disk has less than the reserve free, whoever fills it: the server, which has its data there, goes on.
func (s *supervisor) guardDisk(cancel context.CancelCauseFunc) {
	for range time.Tick(guardEvery) {
		if err := room.Check(string(s.folder), s.order.Reserve, 0); resource.KindOf(err) == resource.Unavailable {
			cancel(errFull)
			return
		}
	}
}

// record writes down how the run is.
func (s *supervisor) record() error {
	return s.folder.write(recordName, s.status, s.status.State.Ended())
}

// work runs the nodes; an error is why they could not be begun.
func (s *supervisor) work(ctx context.Context, cancel context.CancelCauseFunc, driver job.Driver) (err error) {
	spec := s.order.Spec
	place := s.folder.path(nodesName)
	if err := os.Mkdir(place, 0o700); err != nil {
		return err
	}
	site, err := driver.Prepare(ctx, spec, place, s.order.Token)
	if err != nil {
		return err
	}
	defer func() { _ = site.Close() }() // what it does not free ends with this process
	for i, listener := range site.Listeners() {
		if listener != nil {
			go forward(listener, outside(spec.Forward[i].Outside))
		}
	}
	if spec.Serve.Port != 0 {
		listener, err := socket.Listen(spec.Serve.Socket)
		if err != nil {
			return fmt.Errorf("listen for whom the run serves: %w", err)
		}
		defer func() { _ = listener.Close() }()
		go forward(listener, site.Dial)
	}
	if ctx.Err() != nil {
		return nil
	}
	s.status.State, s.status.Begun = job.Running, s.clock()
	if err := s.record(); err != nil {
		return err
	}
	if spec.Limits.Timeout > 0 {
		timer := time.AfterFunc(spec.Limits.Timeout, func() { cancel(errTimeout) })
		defer timer.Stop()
	}
	return s.nodes(ctx, cancel, site)
}

// last frees everything and writes the last record. On a full disk it tries for a while: others may make room.
func (s *supervisor) last() error {
	var err error
	for range 50 {
		if _, gone := os.Lstat(string(s.folder)); errors.Is(gone, fs.ErrNotExist) {
			return errGone
		}
		if err = errors.Join(s.folder.free(), s.record()); err == nil {
			return nil
		}
		time.Sleep(200 * time.Millisecond)
	}
	return err
}
