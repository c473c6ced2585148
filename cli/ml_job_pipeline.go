package cli

import "github.com/alvara-ml/alvara/cli/document"

func (f jobFile) pipeline(given *document.Object) (*document.Object, error) {
	return nil, usagef("pipelines")
}
