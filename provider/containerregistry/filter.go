package containerregistry

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/alvara-ml/alvara/resource"
)

// filterTerm is one condition of a $filter: Field op literal, or contains(Field, literal). Literals are quoted, true,
// false, or a time.
var filterTerm = regexp.MustCompile(`^\s*(?:([A-Za-z]+)\s+(eq|ne|gt|ge|lt|le)\s+('(?:[^']|'')*'|[^\s']+)|contains\s*\(\s*([A-Za-z]+)\s*,\s*('(?:[^']|'')*')\s*\))(\s+and\s+|\s*$)`)

// filterFields give the texts of a run that a field of a $filter is compared with, and whether they are times.
var filterFields = map[string]struct {
	name string
	time bool
	of   func(r *Run) []string
}{
	"runid":                {"RunId", false, func(r *Run) []string { return []string{r.RunID} }},
	"runtype":              {"RunType", false, func(r *Run) []string { return []string{r.RunType} }},
	"status":               {"Status", false, func(r *Run) []string { return []string{r.Status} }},
	"isarchiveenabled":     {"IsArchiveEnabled", false, func(r *Run) []string { return []string{strconv.FormatBool(r.IsArchiveEnabled)} }},
	"createtime":           {"CreateTime", true, func(r *Run) []string { return timeText(r.CreateTime) }},
	"finishtime":           {"FinishTime", true, func(r *Run) []string { return timeText(r.FinishTime) }},
	"taskname":             {"TaskName", false, func(*Run) []string { return []string{""} }}, // runs of tasks are not offered
	"agentpoolname":        {"AgentPoolName", false, func(*Run) []string { return []string{""} }},
	"outputimagemanifests": {"OutputImageManifests", false, manifests},
}

func timeText(t *time.Time) []string {
	if t == nil {
		return nil
	}
	return []string{t.Format(time.RFC3339Nano)}
}

// manifests are the manifests that a run pushed, as clients name them: repository@digest.
func manifests(r *Run) []string {
	var out []string
	for _, output := range r.OutputImages {
		out = append(out, output.Repository+"@"+output.Digest)
	}
	return out
}

// parseFilter reads a $filter: conditions joined by "and". An empty one lets all runs pass.
func parseFilter(text string) (func(*Run) bool, error) {
	var terms []func(*Run) bool
	for rest, more := text, strings.TrimSpace(text) != ""; more; {
		found := filterTerm.FindStringSubmatch(rest)
		if found == nil {
			return nil, invalidFilter("at %q it is not of the form Field eq 'value', or contains(Field, 'value'), joined by and", rest)
		}
		term, err := readTerm(found[1]+found[4], found[2], found[3]+found[5])
		if err != nil {
			return nil, err
		}
		terms = append(terms, term)
		rest, more = rest[len(found[0]):], strings.TrimSpace(found[6]) != ""
	}
	return func(r *Run) bool {
		for _, term := range terms {
			if !term(r) {
				return false
			}
		}
		return true
	}, nil
}

func invalidFilter(format string, args ...any) error {
	return resource.Invalidf("InvalidFilter", "$filter: %s", fmt.Sprintf(format, args...)).At("$filter")
}

func readTerm(name, op, literal string) (func(*Run) bool, error) {
	field, known := filterFields[strings.ToLower(name)]
	if !known {
		return nil, invalidFilter("there is no field %q; known are RunId, RunType, Status, CreateTime, FinishTime, OutputImageManifests, IsArchiveEnabled, TaskName and AgentPoolName", name)
	}
	value := strings.ReplaceAll(strings.TrimSuffix(strings.TrimPrefix(literal, "'"), "'"), "''", "'")
	if field.time {
		return readTimeTerm(field.name, op, value, field.of)
	}
	var matches func(text string) bool
	switch op {
	case "":
		matches = func(text string) bool { return strings.Contains(strings.ToLower(text), strings.ToLower(value)) }
	case "eq", "ne":
		matches = func(text string) bool { return strings.EqualFold(text, value) }
	default:
		return nil, invalidFilter("%s takes eq, ne and contains, and not %s", field.name, op)
	}
	return func(r *Run) bool {
		any := false
		for _, text := range field.of(r) {
			any = any || matches(text)
		}
		return any == (op != "ne")
	}, nil
}

func readTimeTerm(name, op, value string, of func(*Run) []string) (func(*Run) bool, error) {
	holds := map[string]func(order int) bool{
		"eq": func(o int) bool { return o == 0 }, "ne": func(o int) bool { return o != 0 },
		"gt": func(o int) bool { return o > 0 }, "ge": func(o int) bool { return o >= 0 },
		"lt": func(o int) bool { return o < 0 }, "le": func(o int) bool { return o <= 0 },
	}[op]
	if holds == nil {
		return nil, invalidFilter("%s is a time, and contains does not apply", name)
	}
	wanted, err := time.Parse(time.RFC3339, value)
	if err != nil {
		return nil, invalidFilter("%s is compared with %q; a time such as 2025-01-31T10:00:00Z was expected", name, value)
	}
	return func(r *Run) bool {
		for _, text := range of(r) {
			at, err := time.Parse(time.RFC3339, text)
			return err == nil && holds(at.Compare(wanted))
		}
		return false
	}, nil
}
