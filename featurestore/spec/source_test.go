package spec

import (
	"strings"
	"testing"

	"github.com/alvara-ml/alvara/resource"
)

func TestParseSource(t *testing.T) {
	workspace := resource.MustParseID("/subscriptions/s1/resourceGroups/rg/providers/Microsoft.MachineLearningServices/workspaces/fs")
	cases := map[string]Source{
		"wasbs://data@acct.blob.core.windows.net/a/*.parquet":                                  {Scheme: SchemeWASBS, Account: "acct", Container: "data", Endpoint: "https://acct.blob.core.windows.net", Path: "a/*.parquet"},
		"WASBS://data@Acct.Blob.host:8443/a/":                                                  {Scheme: SchemeWASBS, Account: "acct", Container: "data", Endpoint: "https://acct.blob.host:8443", Path: "a"},
		"wasbs://data@127.0.0.1:8443/acct/a":                                                   {Scheme: SchemeWASBS, Account: "acct", Container: "data", Endpoint: "https://127.0.0.1:8443/acct", Path: "a"},
		"abfss://my-data@acct.dfs.host/":                                                       {Scheme: SchemeABFSS, Account: "acct", Container: "my-data", Endpoint: "https://acct.dfs.host"},
		"abfss://$web@acct.dfs.host":                                                           {Scheme: SchemeABFSS, Account: "acct", Container: "$web", Endpoint: "https://acct.dfs.host"},
		"https://acct.blob.host/data/a/b%20c.csv":                                              {Scheme: SchemeHTTPS, Account: "acct", Container: "data", Endpoint: "https://acct.blob.host", Path: "a/b c.csv"},
		"https://acct.blob.host/data/%2A%5B*":                                                  {Scheme: SchemeHTTPS, Account: "acct", Container: "data", Endpoint: "https://acct.blob.host", Path: "[*][[]*"},
		"https://127.0.0.1:41/acct/data/x/**/y.json":                                           {Scheme: SchemeHTTPS, Account: "acct", Container: "data", Endpoint: "https://127.0.0.1:41/acct", Path: "x/**/y.json"},
		"https://[::1]:41/acct/data/x":                                                         {Scheme: SchemeHTTPS, Account: "acct", Container: "data", Endpoint: "https://[::1]:41/acct", Path: "x"},
		"https://localhost/acct/data":                                                          {Scheme: SchemeHTTPS, Account: "acct", Container: "data", Endpoint: "https://localhost/acct"},
		"azureml://datastores/workspaceblobstore/paths/a/b?":                                   {Scheme: SchemeAzureML, Datastore: "workspaceblobstore", Path: "a/b?"},
		"azureml://subscriptions/S1/resourceGroups/rg/workspaces/fs/datastores/d/paths/a%20b/": {Scheme: SchemeAzureML, Workspace: workspace, Datastore: "d", Path: "a%20b"},
	}
	for text, want := range cases {
		got, err := ParseSource(text)
		want.URI = text
		if err != nil || got.Workspace.String() != want.Workspace.String() {
			t.Errorf("%s: %v, workspace %s", text, err, got.Workspace)
		}
		got.Workspace, want.Workspace = resource.Root, resource.Root
		if got.Scheme != want.Scheme || got.Account != want.Account || got.Container != want.Container || got.Endpoint != want.Endpoint ||
			got.Path != want.Path || got.Datastore != want.Datastore || got.URI != want.URI {
			t.Errorf("%s:\n got %+v\nwant %+v", text, got, want)
		}
	}
}

func TestParseSourceRefuses(t *testing.T) {
	for text, want := range map[string]string{
		"":                                                              "is empty",
		"/etc/passwd":                                                   "no scheme",
		"file:///etc/passwd":                                            `has the scheme "file"`,
		"http://127.0.0.1/acct/data":                                    "not encrypted; write https://",
		"wasb://c@a.blob.host/x":                                        "write wasbs://",
		"wasbs://acct.blob.host/x":                                      "names no container",
		"wasbs://data@acct.dfs.host/x":                                  "expected account.blob.host",
		"abfss://data@acct.blob.host/x":                                 "expected account.dfs.host",
		"abfss://data@acct/x":                                           "expected account.dfs.host",
		"https://example.com/data/x":                                    "expected account.blob or account.dfs.host",
		"https://user:pw@acct.blob.host/data":                           "has a user name or password",
		"https://acct.blob.host/data/x?sv=2022&sig=abc":                 "has a query",
		"https://acct.blob.host/data/%zz":                               "malformed %-escape",
		"https://acct.blob.host/data/%2fetc":                            "escaped character",
		"https://acct.blob.host/data/%2e%2e/x":                          `the segment ".."`,
		"https://acct.blob.host/data/%00":                               "escaped character",
		"https://acct.blob.host:99999/data":                             "has the port",
		"https://127.0.0.1:41":                                          "names no account",
		"https://127.0.0.1:41/acct":                                     `the container ""`,
		"https://[::1/acct/data":                                        "malformed host",
		"wasbs://data@a.blob.host/x":                                    `the account "a"`,
		"wasbs://da--ta@acct.blob.host/x":                               `the container "da--ta"`,
		"wasbs://Data@acct.blob.host/x":                                 `the container "Data"`,
		"wasbs://data@acct.blob.host/../x":                              `the segment ".."`,
		"wasbs://data@acct.blob.host/a//x":                              `the segment ""`,
		"wasbs://data@acct.blob.host/a\\x":                              "backslash",
		"wasbs://data@acct.blob.host/a\nx":                              "characters",
		"wasbs://data@acct.blob.host/[a":                                "no ']'",
		"wasbs://data@acct.blob.host/{a,b}":                             "braces",
		"azureml://datastores/d":                                        "is malformed; expected azureml://datastores",
		"azureml://datastores/d d/paths/x":                              `the datastore "d d"`,
		"azureml://subscriptions/s/groups/g/workspaces/w/datastores/d/": "is malformed",
		"azureml://subscriptions/s/resourcegroups/../workspaces/w/datastores/d/paths/x": "is malformed",
		"wasbs://data@acct.blob.host/" + strings.Repeat("a", 2048):                      "longer than 2048",
	} {
		_, err := ParseSource(text)
		e, ok := resource.AsError(err)
		if !ok || e.Kind != resource.Invalid || e.Code != "InvalidSource" || !strings.Contains(e.Message, want) {
			t.Errorf("%.80q: want %q, got %v", text, want, err)
		}
	}
}

func TestSourceMatch(t *testing.T) {
	cases := []struct {
		path, blob string
		want       bool
	}{
		{"t", "t/a.parquet", true}, {"t/", "t/x/a.parquet", true}, {"t", "t", true}, {"t", "tt/a", false}, {"t", "a/t", false},
		{"t", "t/_SUCCESS", false}, {"t", "t/.crc", false}, {"t", "t/_temporary/0/a", false}, {"t", "t/_day=1/a", true},
		{"t/_x/a", "t/_x/a", true}, {"t/y=*", "t/y=1/a.parquet", true}, {"t/*.parquet", "t/out.parquet/part-0", true},
		{"t/*.parquet", "t/out.parquet/_SUCCESS", false}, {"t/*.parquet", "t/a.csv", false}, {"", "a/b", true}, {"", "_x", false}, {"t", "t/", false},
	}
	for _, c := range cases {
		s, err := ParseSource("wasbs://data@acct.blob.host/" + c.path)
		if err != nil {
			t.Fatal(err)
		}
		if got := s.Match(c.blob); got != c.want {
			t.Errorf("%q matches %q: %v", c.path, c.blob, got)
		}
		if c.want && !strings.HasPrefix(c.blob, s.Prefix()) {
			t.Errorf("%q does not start with %q", c.blob, s.Prefix())
		}
	}
}
