package arm

import (
	"github.com/alvara-ml/alvara/resource"
)

// maxRaces is how often a request that lost a race is repeated before its caller is told.
const maxRaces = 30

// codeRaced is the code of a request that lost a race against another writer.
const codeRaced = "ResourceChanged"

// again repeats a request that lost a race, from its beginning: it is authorized and validated against what is there now,
// and so are its conditions.
func again(run func() (*Response, error)) (*Response, error) {
	for attempt := 0; ; attempt++ {
		response, err := run()
		if e, ok := resource.AsError(err); !ok || e.Code != codeRaced || attempt == maxRaces {
			return response, err
		}
	}
}

// conflicts tells whether the store refused a change because of what somebody else wrote.
func conflicts(err error) bool {
	switch resource.KindOf(err) {
	case resource.PreconditionFailed, resource.Conflict, resource.NotFound:
		return true
	}
	return false
}

// raced words the loss of a race between two writers; other errors stay what they are.
func raced(err error, id resource.ID) error { return changedMeanwhile(id.String(), err) }

func changedMeanwhile(name string, err error) error {
	if err != nil && !conflicts(err) {
		return err
	}
	return resource.Conflictf(codeRaced, "The resource '%s' was changed by someone else at the same time; read it again and repeat the change.", name).Because(err)
}
