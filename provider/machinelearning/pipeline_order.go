package machinelearning

import (
	"slices"
	"strings"

	"github.com/alvara-ml/alvara/resource"
)

// orderSteps puts names in an order in which each comes after those that it needs, otherwise by name, so that the same pipeline is always
// carried out in the same way. needs has an entry for every name. Where there is a cycle it is named: Invalid.
func orderSteps(needs map[string][]string) ([]string, error) {
	missing, users := make(map[string]int, len(needs)), map[string][]string{}
	var ready, out []string
	for name, of := range needs {
		missing[name] = len(of)
		for _, other := range of {
			users[other] = append(users[other], name)
		}
		if len(of) == 0 {
			ready = append(ready, name)
		}
	}
	for len(ready) > 0 {
		slices.Sort(ready)
		name := ready[0]
		ready, out = ready[1:], append(out, name)
		for _, user := range users[name] {
			if missing[user]--; missing[user] == 0 {
				ready = append(ready, user)
			}
		}
	}
	if len(out) == len(needs) {
		return out, nil
	}
	cycle := cycleOf(needs, missing)
	return nil, resource.Invalidf("PipelineCycle", "properties.jobs: no step of %s can begin before the others, for each reads what the next one writes; have one of them read something else", strings.Join(cycle, " → ")).At("properties.jobs." + cycle[0])
}

// cycleOf follows what is missing until it comes back: from the first name that is left, in the order of names.
func cycleOf(needs map[string][]string, missing map[string]int) []string {
	var at string
	for name, count := range missing {
		if count > 0 && (at == "" || name < at) {
			at = name
		}
	}
	var way []string
	for !slices.Contains(way, at) {
		way = append(way, at)
		of := slices.Sorted(slices.Values(needs[at]))
		at = of[slices.IndexFunc(of, func(name string) bool { return missing[name] > 0 })]
	}
	return append(way[slices.Index(way, at):], at)
}
