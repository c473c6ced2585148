package worker

import (
	"runtime"
	"syscall"
)

// attributes give the child a group of its own, and its parent's death as its own.
func attributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}

// live starts the child and waits for it on one thread: the child is told of its parent's death by the death of the
// thread that made it.
func (c *child) live(running chan<- error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	err := c.cmd.Start()
	running <- err
	if err == nil {
		c.done <- c.cmd.Wait()
	}
}

// kill ends the group. The computations that the child started end with it.
func (c *child) kill() {
	if c.cmd.Process != nil {
		_ = syscall.Kill(-c.cmd.Process.Pid, syscall.SIGKILL) // it may be gone
	}
}
