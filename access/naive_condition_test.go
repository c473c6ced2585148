package access_test

import (
	"slices"
	"strings"
	"time"

	"github.com/alvara-ml/alvara/access"
	"github.com/alvara-ml/alvara/access/condition"
)

// naiveCondition is a condition as the rules say it, made together with its text and not from it. Its truth is a rule of
// three values: yes, no, and neither where something is missing.
type naiveCondition struct {
	text  string
	truth func(r access.Request, known bool) (yes, no bool)
}

func (c naiveCondition) holds(r access.Request) bool {
	yes, _ := c.truth(r, true)
	return yes
}

// possible and certain tell what a condition does to an action when nothing but the action is known.
func (c naiveCondition) possible(action string) bool {
	_, no := c.truth(access.Request{Action: action}, false)
	return !no
}

func (c naiveCondition) certain(action string) bool {
	yes, _ := c.truth(access.Request{Action: action}, false)
	return yes
}

// condition makes a random condition and remembers its meaning.
func (w *world) condition() *condition.Condition {
	meaning := w.conditionPart(3)
	parsed, err := condition.Parse(meaning.text)
	if err != nil {
		panic(meaning.text + ": " + err.Error())
	}
	w.conditions[parsed] = meaning
	return parsed
}

func (w *world) conditionPart(depth int) naiveCondition {
	if depth == 0 || w.one(4) {
		return w.conditionTest()
	}
	a := w.conditionPart(depth - 1)
	if w.one(4) {
		return naiveCondition{pick(w, []string{"!", "NOT "}) + "(" + a.text + ")", func(r access.Request, known bool) (bool, bool) {
			yes, no := a.truth(r, known)
			return no, yes
		}}
	}
	b := w.conditionPart(depth - 1)
	if w.one(2) {
		return naiveCondition{"(" + a.text + ")" + pick(w, []string{" AND ", "&&"}) + "(" + b.text + ")", func(r access.Request, known bool) (bool, bool) {
			aYes, aNo := a.truth(r, known)
			bYes, bNo := b.truth(r, known)
			return aYes && bYes, aNo || bNo
		}}
	}
	return naiveCondition{"(" + a.text + ")" + pick(w, []string{" OR ", "||"}) + "(" + b.text + ")", func(r access.Request, known bool) (bool, bool) {
		aYes, aNo := a.truth(r, known)
		bYes, bNo := b.truth(r, known)
		return aYes || bYes, aNo && bNo
	}}
}

const containerName = "@Resource[Microsoft.Storage/storageAccounts/blobServices/containers:name]"

var noon = time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)

func (w *world) conditionTest() naiveCondition {
	certain := func(b bool) (bool, bool) { return b, !b }
	word := pick(w, []string{"a", "aa", "A", "b"})
	compared := func(operator string, holds func(string) bool) naiveCondition {
		return naiveCondition{containerName + " " + operator, func(r access.Request, known bool) (bool, bool) {
			values := naiveTold(r, condition.ContainerName)
			if !known || len(values) != 1 {
				return false, false
			}
			return certain(holds(values[0]))
		}}
	}
	switch w.random.IntN(8) {
	case 0, 1:
		pattern := w.pattern()
		for !strings.Contains(pattern, "/") {
			pattern = w.pattern()
		}
		return naiveCondition{"ActionMatches{'" + pattern + "'}", func(r access.Request, _ bool) (bool, bool) { return certain(naiveMatch(pattern, r.Action)) }}
	case 2:
		return compared("StringEquals '"+word+"'", func(s string) bool { return s == word })
	case 3:
		return compared("StringNotStartsWithIgnoreCase '"+word+"'", func(s string) bool {
			return !strings.HasPrefix(strings.ToLower(s), strings.ToLower(word))
		})
	case 4:
		return naiveCondition{containerName + " ForAnyOfAllValues:StringNotEquals {'" + word + "', 'b'}", func(r access.Request, known bool) (bool, bool) {
			values := naiveTold(r, condition.ContainerName)
			if !known || len(values) == 0 {
				return false, false
			}
			return certain(slices.ContainsFunc(values, func(s string) bool { return s != word && s != "b" }))
		}}
	case 5:
		return naiveCondition{"Exists " + containerName, func(r access.Request, known bool) (bool, bool) {
			if !known {
				return false, false
			}
			return certain(len(naiveTold(r, condition.ContainerName)) > 0)
		}}
	case 6:
		return naiveCondition{"SubOperationMatches{'Blob.List'}", func(r access.Request, known bool) (bool, bool) {
			if !known {
				return false, false
			}
			return certain(len(naiveTold(r, condition.SubOperation)) > 0)
		}}
	}
	return naiveCondition{"@Environment[UtcNow] DateTimeGreaterThan '2026-01-02T12:00:00.0Z'", func(r access.Request, known bool) (bool, bool) {
		if !known || r.Now.IsZero() {
			return false, false
		}
		return certain(r.Now.After(noon))
	}}
}

func naiveTold(r access.Request, attribute condition.Attribute) []string {
	var values []string
	for _, told := range r.Attributes {
		if told.Attribute == attribute {
			values = append(values, told.Text)
		}
	}
	return values
}

// attributes makes what a plane tells about a request, sometimes nothing.
func (w *world) attributes() (condition.Attributes, time.Time) {
	var told condition.Attributes
	for range w.random.IntN(5) / 2 {
		told = append(told, condition.Value{Attribute: condition.ContainerName, Text: pick(w, []string{"a", "aa", "aB", "A", "b"})})
	}
	if w.one(3) {
		told = append(told, condition.Value{Attribute: condition.SubOperation, Text: "blob.LIST"})
	}
	return told, pick(w, []time.Time{{}, noon, noon.Add(time.Nanosecond), noon.Add(-time.Hour)})
}
