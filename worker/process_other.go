//go:build !linux

package worker

import "syscall"

func attributes() *syscall.SysProcAttr { return nil }

func (c *child) live(running chan<- error) {
	err := c.cmd.Start()
	running <- err
	if err == nil {
		c.done <- c.cmd.Wait()
	}
}

func (c *child) kill() {
	if c.cmd.Process != nil {
		_ = c.cmd.Process.Kill() // it may be gone
	}
}
