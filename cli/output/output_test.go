package output

import (
	"strings"
	"testing"

	"github.com/alvara-ml/alvara/cli/document"
)

const groups = `[{"id":"/subscriptions/s/resourceGroups/b","name":"b","location":"westeurope","managed":false,"n":9007199254740993,
 "tags":{"z":"1","a":"2"},"list":[1,2,3]},{"id":"/x","name":"a <&>","location":null,"managed":true,"n":1.50,"tags":{},"list":[]}]`

func render(t *testing.T, text, format, query, columns string) string {
	t.Helper()
	value, err := document.Decode([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	if err := Write(&b, Result{Value: value, Columns: columns}, format, query); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestFormats(t *testing.T) {
	for _, c := range []struct{ name, text, format, query, columns, want string }{
		{"json keeps order, long integers and characters", `{"b":9007199254740993,"a":"<é>","c":1.50}`, "json", "", "",
			"{\n  \"b\": 9007199254740993,\n  \"a\": \"<é>\",\n  \"c\": 1.50\n}\n"},
		{"empty containers", `{"a":[],"b":{}}`, "json", "", "", "{\n  \"a\": [],\n  \"b\": {}\n}\n"},
		{"none prints nothing", groups, "none", "", "", ""},
		{"scalar as tsv without quotes (MI-04)", groups, "tsv", "[0].name", "", "b\n"},
		{"bool as tsv", groups, "tsv", "[0].managed", "", "false\n"},
		{"absent as tsv", groups, "tsv", "[0].missing", "", ""},
		{"absent as json", groups, "json", "[0].missing", "", ""},
		{"long integer survives a query", groups, "tsv", "[0].n", "", "9007199254740993\n"},
		{"whole number after a query", `{"a":3}`, "json", "a", "", "3\n"},
		{"fields as tsv in the order asked", groups, "tsv", "[].[location,name]", "", "westeurope\tb\n\ta <&>\n"},
		{"nested as tsv", groups, "tsv", "", "", "/subscriptions/s/resourceGroups/b\tb\twesteurope\tfalse\t9007199254740993\t\t3\n/x\ta <&>\t\ttrue\t1.50\t\t0\n"},
		{"hash in order", groups, "tsv", "[0].{z:name, a:location}", "", "b\twesteurope\n"},
		{"object inside keeps its order after a query", groups, "json", "[0].tags", "", "{\n  \"z\": \"1\",\n  \"a\": \"2\"\n}\n"},
		{"comparison of numbers", `[{"n":1},{"n":5}]`, "tsv", "[?n > `2`].n", "", "5\n"},
		{"an unquoted literal is a string", groups, "tsv", "[?location==`westeurope`].name", "", "b\n"},
		{"literals and quotes beside each other", groups, "json", "[?name=='a <&>' && \"managed\"==`true`] | [0].name == `\"a <&>\"`", "", "true\n"},
		{"yaml keeps order", `{"b":1,"a":{"d":"x: y","c":[1,"2"]},"e":null,"t":"true"}`, "yaml", "", "",
			"b: 1\na:\n  d: \"x: y\"\n  c:\n  - 1\n  - \"2\"\ne: null\nt: \"true\"\n"},
		{"table of simple fields", groups, "table", "", "",
			"Name   Location    Managed  N\n-----  ----------  -------  ----------------\nb      westeurope  false    9007199254740993\na <&>              true     1.50\n"},
		{"table with the command's columns", groups, "table", "", "[].{Group:name,Place:location}",
			"Group  Place\n-----  ----------\nb      westeurope\na <&>\n"},
		{"a query replaces the columns", groups, "table", "[].{place:location}", "[].{Group:name}", "Place\n----------\nwesteurope\n\n"},
		{"single object as table", `{"display_name":"x","deep":{"a":1}}`, "table", "", "", "DisplayName\n-----------\nx\n"},
		{"list of scalars", `["a","b"]`, "table", "", "", "Result\n------\na\nb\n"},
		{"list of lists", `[["a",1],["b",2]]`, "table", "", "", "Column1  Column2\n-------  -------\na        1\nb        2\n"},
		{"empty table", `[]`, "table", "", "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := render(t, c.text, c.format, c.query, c.columns); got != c.want {
				t.Fatalf("got\n%q\nwant\n%q", got, c.want)
			}
		})
	}
}

func TestAFaultyQueryIsRefused(t *testing.T) {
	for _, query := range []string{"[0].{z:name, 'm':managed}", "[?", "sort(@)", "nosuch(@)"} {
		value, err := document.Decode([]byte(groups))
		if err != nil {
			t.Fatal(err)
		}
		var b strings.Builder
		err = Write(&b, Result{Value: value}, "json", query)
		if err == nil || !strings.Contains(err.Error(), "cannot be evaluated") || b.Len() > 0 {
			t.Errorf("%s: got %v and %q", query, err, b.String())
		}
	}
}

func TestAnUnknownFormatIsRefused(t *testing.T) {
	if err := Write(&strings.Builder{}, Result{Value: "x"}, "xml", ""); err == nil {
		t.Fatal("expected an error")
	}
}
