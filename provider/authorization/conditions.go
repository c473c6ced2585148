package authorization

import (
	"strings"

	"github.com/alvara-ml/alvara/access"
	"github.com/alvara-ml/alvara/access/condition"
	"github.com/alvara-ml/alvara/access/wildcard"
	"github.com/alvara-ml/alvara/resource"
)

// conditionVersion is the only version of the language that is accepted.
const conditionVersion = "2.0"

// checkCondition reads the condition of an assignment. What it does not understand it refuses: a condition that restricts
// less than its writer thinks is worse than none.
func checkCondition(snapshot *access.Snapshot, p *Assignment) error {
	if p.ConditionVersion != nil && *p.ConditionVersion != "" && *p.ConditionVersion != conditionVersion {
		return resource.Invalidf("InvalidConditionVersion", "properties.conditionVersion is %q; %q was expected", *p.ConditionVersion, conditionVersion).At("properties.conditionVersion")
	}
	if p.Condition == nil || *p.Condition == "" {
		p.Condition, p.ConditionVersion = nil, nil
		return nil
	}
	version := conditionVersion
	p.ConditionVersion = &version
	parsed, err := condition.Parse(*p.Condition)
	if err != nil {
		return resource.Invalidf("InvalidCondition", "properties.condition, %v", err).At("properties.condition")
	}
	for _, action := range parsed.Actions() {
		if !namesOperation(snapshot, action) {
			return resource.Invalidf("InvalidCondition", "properties.condition: ActionMatches{'%s'} matches no operation, so that part would restrict nothing; check its spelling", action).At("properties.condition")
		}
	}
	return nil
}

func namesOperation(snapshot *access.Snapshot, action string) bool {
	pattern := wildcard.Compile(action)
	for _, operation := range snapshot.Operations() {
		if pattern.Match(strings.ToLower(operation.Name)) {
			return true
		}
	}
	return false
}

// readCondition reads a stored condition. One that cannot be read lets nothing pass.
func readCondition(text *string) *condition.Condition {
	if text == nil || *text == "" {
		return nil
	}
	parsed, err := condition.Parse(*text)
	if err != nil {
		return condition.Unreadable(*text)
	}
	return parsed
}
