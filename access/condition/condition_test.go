package condition_test

import (
	"strings"
	"testing"
	"time"

	"github.com/alvara-ml/alvara/access/condition"
)

const (
	read  = "microsoft.storage/storageaccounts/blobservices/containers/blobs/read"
	write = "microsoft.storage/storageaccounts/blobservices/containers/blobs/write"
	name  = "@Resource[Microsoft.Storage/storageAccounts/blobServices/containers:name]"
	path  = "@Resource[Microsoft.Storage/storageAccounts/blobServices/containers/blobs:path]"
	pfx   = "@Request[Microsoft.Storage/storageAccounts/blobServices/containers/blobs:prefix]"
	repo  = "@Request[Microsoft.ContainerRegistry/registries/repositories:name]"
	sub   = "@Request[subOperation]"
	utc   = "@Environment[UtcNow]"
)

var now = time.Date(2026, 5, 4, 3, 2, 1, 500, time.UTC)

func parse(t *testing.T, text string) *condition.Condition {
	t.Helper()
	c, err := condition.Parse(text)
	if err != nil {
		t.Fatalf("%s\n%v", text, err)
	}
	return c
}

func with(pairs ...any) condition.Attributes {
	var all condition.Attributes
	for i := 0; i < len(pairs); i += 2 {
		all = append(all, condition.Value{Attribute: pairs[i].(condition.Attribute), Text: pairs[i+1].(string)})
	}
	return all
}

// BX-05: every operator, on values that it accepts and refuses.
func TestOperators(t *testing.T) {
	for _, c := range []struct {
		text string
		want bool
	}{
		{name + " StringEquals 'Reports'", true}, {name + " StringEquals 'reports'", false},
		{name + " StringEqualsIgnoreCase 'rEPORTS'", true}, {name + " StringEqualsIgnoreCase 'report'", false}, {name + " StringEqualsIgnoreCase 'reportss'", false},
		{name + " StringNotEquals 'reports'", true}, {name + " StringNotEquals 'Reports'", false},
		{name + " StringNotEqualsIgnoreCase 'reports'", false}, {name + " StringNotEqualsIgnoreCase 'x'", true},
		{name + " StringStartsWith 'Rep'", true}, {name + " StringStartsWith 'rep'", false}, {name + " StringStartsWith ''", true},
		{name + " StringStartsWithIgnoreCase 'rEP'", true}, {name + " StringStartsWithIgnoreCase 'Reports/'", false},
		{name + " StringNotStartsWith 'rep'", true}, {name + " StringNotStartsWith 'Rep'", false},
		{name + " StringNotStartsWithIgnoreCase 'rep'", false}, {name + " StringNotStartsWithIgnoreCase 'eps'", true},
		{name + " StringLike 'R*s'", true}, {name + " StringLike 'R?ports'", true}, {name + " StringLike 'R*t'", false}, {name + " StringLike 'r*'", false},
		{name + " StringLike 'R\\*s'", false}, {name + " StringLike '*'", true}, {name + " StringLike '?'", false},
		{name + " StringLikeIgnoreCase 'r*S'", true}, {name + " StringNotLike 'r*'", true}, {name + " StringNotLike 'R*'", false},
		{name + " StringNotLikeIgnoreCase 'r*'", false},
		{path + " StringLike 'a/*/c.txt'", true}, {path + " StringLike 'a/*\\*c.txt'", false}, {path + " StringLike '*b*b*'", false},
		{repo + " NumericEquals 12", true}, {repo + " NumericEquals '12'", true}, {repo + " NumericNotEquals 12", false}, {repo + " NumericLessThan 12", false},
		{repo + " NumericLessThan 13", true}, {repo + " NumericLessThanEquals 12", true}, {repo + " NumericGreaterThan -1", true},
		{repo + " NumericGreaterThan 12", false}, {repo + " NumericGreaterThanEquals 12", true}, {repo + " NumericGreaterThanEquals 13", false},
		{name + " NumericNotEquals 12", false}, // no number: missing
		{"true BoolEquals true", true}, {"TRUE BoolEquals 'false'", false}, {"true BoolNotEquals false", true}, {name + " BoolNotEquals true", false},
		{"5E467623-bb1f-42f4-a55d-6e525e11384b GuidEquals '5e467623-bb1f-42f4-a55d-6e525e11384b'", true},
		{"5e467623-bb1f-42f4-a55d-6e525e11384b GuidNotEquals a795c7a0-d4a2-40c1-ae25-d81f01202912", true},
		{"{5e467623-bb1f-42f4-a55d-6e525e11384b} ForAnyOfAnyValues:GuidNotEquals {5e467623-bb1f-42f4-a55d-6e525e11384b}", false},
		{utc + " DateTimeGreaterThan '2026-05-04T03:02:01.0Z'", true}, {utc + " DateTimeLessThan '2026-05-04T03:02:01.0000005Z'", false},
		{utc + " DateTimeEquals '2026-05-04T03:02:01.0000005Z'", true}, {utc + " DateTimeNotEquals '2026-05-04T05:02:01.0000005+02:00'", false},
		{utc + " DateTimeLessThanEquals '2026-05-05T00:00:00Z'", true}, {utc + " DateTimeGreaterThanEquals '2026-05-05T00:00:00Z'", false},
		// As the documentation's table of examples.
		{"'abcd' StringLike 'a*c?'", true}, {"'abcd' StringLike 'A*C?'", false}, {"'abcd' StringLike 'a*c'", false},
		{"{'red', 'blue'} ForAnyOfAnyValues:StringEquals {'blue', 'green'}", true}, {"{'red', 'blue'} ForAnyOfAnyValues:StringEquals {'orange', 'green'}", false},
		{"{'red', 'blue'} ForAllOfAnyValues:StringEquals {'orange', 'red', 'blue'}", true}, {"{'red', 'blue'} ForAllOfAnyValues:StringEquals {'red', 'green'}", false},
		{"{10, 20} ForAnyOfAllValues:NumericLessThan {15, 18}", true}, {"{10, 20} ForAllOfAllValues:NumericLessThan {5, 15, 18}", false},
		{"{10, 20} ForAllOfAllValues:NumericLessThan {25, 30}", true}, {"{10, 20} ForAllOfAllValues:NumericLessThan {15, 25, 30}", false},
		{name + " ForAnyOfAnyValues:StringEquals {'x', 'Reports'}", true}, {name + " ForAnyOfAllValues:StringNotEquals {'x', 'Reports'}", false},
		{"'it\\'s' StringLike '*\\'s'", true}, {path + " StringStartsWith " + pfx, true}, {pfx + " StringStartsWith " + path, false},
		{"exists " + name, true}, {"NOT Exists " + name, false}, {"NotExists " + name, false}, {"Exists " + utc, true}, {"Exists " + sub, false},
		{"actionmatches{'*/BLOBS/read'} and not SubOperationMatches{'blob.list'}", true}, {"ActionMatches{'Microsoft.Storage/storageAccounts/read'}", false},
		{"(true BoolEquals false || true BoolEquals true) && !(true BoolEquals false)", true},
	} {
		in := condition.Input{Action: read, Now: now, Attributes: with(
			condition.ContainerName, "Reports", condition.BlobPath, "a/b/c.txt", condition.BlobPrefix, "a/b", condition.RepositoryName, "12")}
		parsed := parse(t, c.text)
		if got := parsed.Holds(&in); got != c.want {
			t.Errorf("%s is %v", c.text, got)
		}
		if got := parse(t, "NOT ("+c.text+")").Holds(&in); got == c.want && !strings.Contains(c.text, name+" Numeric") && !strings.Contains(c.text, name+" Bool") {
			t.Errorf("NOT (%s) is %v", c.text, got)
		}
		again := parse(t, parsed.String())
		if again.String() != parsed.String() || again.Holds(&in) != c.want {
			t.Errorf("%s is printed as %s and then as %s", c.text, parsed, again)
		}
	}
}

// A comparison with what is missing is false however it is negated, and a suboperation that is not there is not missing.
func TestWhatIsMissing(t *testing.T) {
	for _, c := range []struct {
		text string
		want bool
	}{
		{name + " StringEquals 'a'", false}, {name + " StringNotEquals 'a'", false}, {"NOT (" + name + " StringEquals 'a')", false},
		{"NOT NOT " + name + " StringEquals 'a'", false}, {"!(" + name + " StringEquals 'a' AND true BoolEquals true)", false},
		{"!(" + name + " StringEquals 'a' AND true BoolEquals false)", true}, {name + " StringEquals 'a' OR true BoolEquals true", true},
		{"!(" + name + " StringEquals 'a' OR true BoolEquals true)", false}, {"!(" + name + " StringEquals 'a' OR true BoolEquals false)", false},
		{name + " ForAllOfAllValues:StringEquals {'a'}", false}, {"'a' StringEquals " + name, false}, {utc + " DateTimeGreaterThan '2020-01-01T00:00:00Z'", false},
		{"NOT Exists " + name, true}, {"Exists " + utc, false}, {name + " StringEquals 'a' OR NotExists " + name, true},
		{"!(ActionMatches{'*'} AND " + sub + " ForAnyOfAnyValues:StringEqualsIgnoreCase {'Blob.List'})", true},
		{"NOT SubOperationMatches{'Blob.List'}", true}, {repo + " StringEquals 'a'", false}, // told twice, and only one is compared
	} {
		in := condition.Input{Action: read, Attributes: with(condition.RepositoryName, "a", condition.RepositoryName, "b")}
		if got := parse(t, c.text).Holds(&in); got != c.want {
			t.Errorf("%s is %v", c.text, got)
		}
	}
}

// The usual form restricts the action that it names and leaves the others alone; Effect says so without a request.
func TestTargetedActions(t *testing.T) {
	const usual = "((!(ActionMatches{'Microsoft.Storage/storageAccounts/blobServices/containers/blobs/read'} AND NOT SubOperationMatches{'Blob.List'})) OR (" + name + " StringEquals 'a'))"
	c := parse(t, usual)
	for _, r := range []struct {
		in   condition.Input
		want bool
	}{
		{condition.Input{Action: read, Attributes: with(condition.ContainerName, "a")}, true},
		{condition.Input{Action: read, Attributes: with(condition.ContainerName, "b")}, false},
		{condition.Input{Action: read, Attributes: with(condition.ContainerName, "b", condition.SubOperation, "Blob.List")}, true},
		{condition.Input{Action: read}, false}, {condition.Input{Action: write}, true},
	} {
		if got := c.Holds(&r.in); got != r.want {
			t.Errorf("%+v: %v", r.in, got)
		}
	}
	for _, e := range []struct {
		text, action string
		want         condition.Effect
	}{
		{usual, read, condition.Depends}, {usual, write, condition.Always}, {"!(ActionMatches{'*/read'})", read, condition.Never},
		{name + " StringEquals 'a'", write, condition.Depends}, {"Exists " + name, write, condition.Depends},
		{"NOT (" + name + " StringEquals 'a')", write, condition.Depends}, {"true BoolEquals true", write, condition.Always},
		{"SubOperationMatches{'Blob.List'} AND 1 NumericEquals 2", write, condition.Never},
	} {
		if got := parse(t, e.text).Effect(e.action); got != e.want {
			t.Errorf("Effect of %s on %s is %d", e.text, e.action, got)
		}
	}
	var none *condition.Condition
	if !none.Holds(&condition.Input{}) || none.Effect(read) != condition.Always || none.Text() != "" || none.String() != "" || none.Actions() != nil {
		t.Error("no condition restricts")
	}
	broken := condition.Unreadable("???")
	if broken.Holds(&condition.Input{Action: write}) || broken.Effect(write) != condition.Never || broken.Text() != "???" || broken.String() != "???" {
		t.Error("an unreadable condition lets something pass")
	}
	if actions := c.Actions(); len(actions) != 1 || !strings.EqualFold(actions[0], read) || c.Text() != usual {
		t.Errorf("%q %q", actions, c.Text())
	}
}

// What is unknown or malformed is refused, with its place and its name.
func TestRefused(t *testing.T) {
	for text, want := range map[string]string{
		"":                                              "column 1: the condition ends here",
		"  ":                                            "column 3: the condition ends here",
		"(" + name + " StringEquals 'a'":                "\")\" was expected, not the end",
		name + " StringEquals 'a')":                     "\")\" was not expected",
		name + " StringEquals 'a":                       "the text has no end",
		name + " StringEquals":                          "an attribute, a text between single quotes",
		name + " StringEquals a":                        "\"a\" is not what StringEquals compares",
		name + " StringEquals 12":                       "\"12\" is not what StringEquals compares",
		name + " StringEquals \"a\"":                    "'\"' has no meaning here",
		name + " StringEquals {'a', 'b'}":               "ForAnyOfAnyValues:StringEquals",
		name + " StringEquals {}":                       "not \"}\"",
		name + " StringEquals {'a' 'b'}":                "\"}\" was expected",
		name + " StringMatches 'a'":                     "column 75: the operator \"StringMatches\" is not supported",
		name + " IpMatch '10.0.0.0/8'":                  "the operator \"IpMatch\" is not supported",
		name + " ForAnyOfSomeValues:StringEquals {'a'}": "the set operator \"ForAnyOfSomeValues:\" is not supported",
		name + " NumericEquals 1.5":                     "has no meaning here",
		name + " NumericEquals '1.5'":                   "is not what NumericEquals compares; a whole number",
		name + " BoolEquals 'yes'":                      "true or false",
		name + " GuidEquals 5e467623":                   "a GUID such as",
		utc + " DateTimeGreaterThan 'today'":            "a time such as",
		utc + " StringEquals '2026-01-01T00:00:00Z'":    "is a time; compare it with a DateTime",
		"@Resource[Microsoft.Storage/storageAccounts:isHnsEnabled] BoolEquals true":            "@Resource[Microsoft.Storage/storageAccounts:isHnsEnabled] is not supported",
		"@Resource[Microsoft.ContainerRegistry/registries/repositories:name] StringEquals 'a'": "it is written " + repo,
		"@Principal[Microsoft.Directory/CustomSecurityAttributes/Id:a_b] StringEquals 'a'":     "the attribute @Principal[",
		"@Environment[isPrivateLink] BoolEquals true":                                          "@Environment[isPrivateLink] is not supported",
		"@Other[a] StringEquals 'a'":                                                           "\"@Other\" is no source",
		"@Resource StringEquals 'a'":                                                           "an attribute is written as",
		"@Resource[a StringEquals 'a'":                                                         "the attribute has no end",
		"Exists 'a'":                                                                           "an attribute such as",
		"ActionMatches('a')":                                                                   "\"{\" was expected",
		"ActionMatches{a}":                                                                     "a text between single quotes was expected",
		"ActionMatches{'read'}":                                                                "is no action",
		"ActionMatches{'a/b c'}":                                                               "is no action",
		"SubOperationMatches{'Blob.Read.WithTagConditions'}":                                   "the suboperation 'Blob.Read.WithTagConditions' is not supported",
		sub + " ForAnyOfAnyValues:StringEqualsIgnoreCase {'Blob.Write.Tier'}":                  "the suboperation 'Blob.Write.Tier' is not supported",
		"true BoolEquals true AND\n  true BoolEquals true\nOR true BoolEquals true":            "line 3, column 1: AND and OR stand side by side",
		"true BoolEquals true\n  $":                                                            "line 2, column 3: '$' has no meaning",
		"'é' StringEquals 'é' x":                                                               "column 22: \"x\" was not expected",
		"'\xff' StringEquals 'a'":                                                              "not UTF-8",
		strings.Repeat("(", 65) + "true BoolEquals true" + strings.Repeat(")", 65):             "nested more than 64 deep",
		"'" + strings.Repeat("a", condition.MaxLength) + "' StringEquals 'a'":                  "longer than 8 KB",
	} {
		_, err := condition.Parse(text)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.120s\n%v; expected: %s", text, err, want)
		}
	}
}
