package condition_test

import (
	"strings"
	"testing"

	"github.com/alvara-ml/alvara/access/condition"
)

// Reading never panics, and what is printed is read as the same condition.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		"((!(ActionMatches{'a/b'} AND NOT SubOperationMatches{'Blob.List'})) OR (" + name + " StringEquals 'a' AND " + path + " StringLike 'b/*'))",
		repo + " ForAnyOfAnyValues:StringStartsWithIgnoreCase {'team/', 'it\\'s'} || !Exists " + sub,
		"NOT NOT NOT {1, -2} ForAllOfAllValues:NumericLessThan {3}", utc + " DateTimeGreaterThan '2026-05-04T03:02:01.0Z'",
		"'' StringLike '\\\\*'", "@Request[", "!(((", "{'a'", "true BoolEquals true && false BoolEquals true",
	} {
		f.Add(seed, "a/b", "x")
	}
	f.Fuzz(func(t *testing.T, text, action, value string) {
		c, err := condition.Parse(text)
		if err != nil {
			if e, ok := err.(*condition.Error); !ok || e.Line < 1 || e.Column < 1 || e.Message == "" {
				t.Errorf("%q: %v", text, err)
			}
			return
		}
		printed := c.String()
		if len(printed) > condition.MaxLength { // it was short without spaces
			return
		}
		again, err := condition.Parse(printed)
		if err != nil || again.String() != printed {
			t.Fatalf("%q is printed as %q, which is read as %v %v", text, printed, again, err)
		}
		for _, told := range []condition.Attributes{nil, with(condition.ContainerName, value, condition.RepositoryName, value, condition.BlobPath, value)} {
			in := condition.Input{Action: strings.ToLower(action), Attributes: told, Now: now}
			held := c.Holds(&in)
			if again.Holds(&in) != held {
				t.Errorf("%q and %q differ", text, printed)
			}
			if effect := c.Effect(in.Action); held && effect == condition.Never || !held && effect == condition.Always {
				t.Errorf("%q has effect %d on %q and holds is %v", text, effect, action, held)
			}
		}
	})
}
