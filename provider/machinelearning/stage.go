package machinelearning

import (
	"strings"

	"github.com/alvara-ml/alvara/resource"
)

// The stages of a version's life (FS-11).
const (
	Development = "Development"
	Production  = "Production"
	Archived    = "Archived"
)

// Lifecycle is the part of a version's properties that says where in its life it is. Stage and IsArchived say the same
// in two ways, because clients use either.
type Lifecycle struct {
	Stage      string `json:"stage,omitempty"`
	IsArchived *bool  `json:"isArchived,omitempty"`
}

// settle makes the two agree: what changed against prev wins. What is restored without saying to which stage is in
// Development again.
func (l *Lifecycle) settle(prev *Lifecycle) error {
	canonical := ""
	for _, stage := range []string{Development, Production, Archived} {
		if strings.EqualFold(l.Stage, stage) {
			canonical = stage
		}
	}
	if l.Stage != "" && canonical == "" {
		return resource.Invalidf("InvalidStage", "properties.stage is %q; Development, Production or Archived was expected", l.Stage).At("properties.stage")
	}
	l.Stage = canonical
	stageChanged := prev != nil && canonical != "" && canonical != prev.Stage
	switch {
	case l.IsArchived != nil && *l.IsArchived && !stageChanged:
		l.Stage = Archived
	case l.IsArchived != nil && !*l.IsArchived && !stageChanged && l.Stage == Archived:
		l.Stage = Development
	case l.Stage == "" && prev != nil:
		l.Stage = prev.Stage
	case l.Stage == "":
		l.Stage = Development
	}
	archived := l.Stage == Archived
	l.IsArchived = &archived
	return nil
}

func (l *Lifecycle) archived() bool { return l.IsArchived != nil && *l.IsArchived }
