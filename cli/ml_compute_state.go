package cli

import (
	"net/http"

	"github.com/alvara-ml/alvara/cli/document"
)

const nodeColumns = "[].{Node:node_id, State:node_state, Job:run_id}"

// computeState is a compute whose state is to change.
type computeState struct {
	computeShow
	NoWait bool `name:"no-wait" help:"Do not wait for the end."`
}

func (s *computeState) change(c *Call, action, what string) error {
	path, err := s.compute(c, s.Name)
	if err != nil {
		return err
	}
	_, err = c.armFinish(http.MethodPost, path+"/"+action, machineLearnAPI, nil, what+" compute "+s.Name, s.NoWait)
	return err
}

type (
	computeStart   struct{ computeState }
	computeStop    struct{ computeState }
	computeRestart struct{ computeState }
)

func (s *computeStart) Run(c *Call) error   { return s.change(c, "start", "Starting") }
func (s *computeStop) Run(c *Call) error    { return s.change(c, "stop", "Stopping") }
func (s *computeRestart) Run(c *Call) error { return s.change(c, "restart", "Restarting") }

type computeListNodes struct{ computeShow }

func (l *computeListNodes) Run(c *Call) error {
	path, err := l.compute(c, l.Name)
	if err != nil {
		return err
	}
	found, err := c.arm(http.MethodPost, path+"/listNodes", machineLearnAPI, nil)
	if err != nil {
		return err
	}
	return c.PrintColumns(snakeKeys(document.List(found.Objects("nodes"))), nodeColumns)
}
