package cli

import (
	"context"
	"encoding/csv"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/alvara-ml/alvara/cli/document"
	"github.com/alvara-ml/alvara/cli/profile"
	"github.com/alvara-ml/alvara/cli/wire"
	"github.com/alvara-ml/alvara/featurestore/spec"
)

type featuresGroup struct {
	GetOffline    getOffline    `cmd:"" name:"get-offline" help:"Join features to observations as they were known at each observation's time." example:"alvara features get-offline --feature-store fs -g rg1 --features transactions:1 accounts:1:accountAge --observations obs.parquet --timestamp-column timestamp --out train.parquet"`
	GetOnline     getOnline     `cmd:"" name:"get-online" help:"Look up the newest values by key." example:"alvara features get-online --feature-store fs -g rg1 --features transactions:1 --keys accountID=A1,A2,A3 ;; alvara features get-online --feature-store fs -g rg1 --features sensors:1 --keys site=S1,S2 device=1,2"`
	RetrievalSpec retrievalSpec `cmd:"" name:"retrieval-spec" help:"Write the specification of a model's features, to keep with the model." example:"alvara features retrieval-spec --feature-store fs -g rg1 --features transactions:1 accounts:1:accountAge --out model/feature_retrieval_spec.yaml"`
}

// Retrieval is a request for a point-in-time join, computed where this program runs, as whom is signed in.
type Retrieval struct {
	FeatureStore    string   // resource id
	Features        []string // name:version or name:version:feature, each with an optional prefix=
	Observations    string   // local file: parquet or csv by its ending
	TimestampColumn string
	Out             string                       // file to write: parquet, arrow or csv by its ending
	MemoryLimit     int64                        // bytes; 0 means the engine's own
	Local           map[string]map[string][]byte // specifications that are registered nowhere: name:version to the files of its folder
	Endpoints       profile.Endpoints
	HTTP            *http.Client // trusts the server's CA
	Token           func(ctx context.Context, resource string) (AccessToken, error)
	Progress        func(stage string)
}

// AccessToken is a bearer token with its end.
type AccessToken struct {
	Token     string
	ExpiresOn time.Time
}

// Retrieved says what a retrieval wrote.
type Retrieved struct {
	Rows    int64 // -1 when nobody counted them
	Columns []string
}

type getOffline struct {
	featuresFlags
	Observations    string      `required:"" type:"existingfile" help:"File of observations: .parquet or .csv."`
	TimestampColumn string      `name:"timestamp-column" required:"" help:"Column that holds each observation's time."`
	Out             string      `required:"" type:"path" help:"File to write: .parquet, .arrow or .csv. Columns: those of the observations, then the features in the order asked."`
	LocalSpec       []string    `name:"local-spec" sep:"none" placeholder:"SET:VERSION=FOLDER" help:"Folder of a specification that is not registered yet; it comes before a registered one of the same name and version."`
	MemoryLimit     memoryLimit `name:"memory-limit" placeholder:"SIZE" help:"Memory for the join, such as 512MB; what does not fit goes to disk."`
	OnServer        bool        `name:"on-server" help:"Let the server compute; the observations are sent to it."`
}

func (g *getOffline) Run(c *Call) error {
	if err := g.settle(c); err != nil {
		return err
	}
	format, err := outFormat(g.Out)
	if err != nil {
		return err
	}
	local, err := readLocal(g.LocalSpec)
	if err != nil {
		return err
	}
	if g.OnServer && len(local) > 0 {
		return usagef("--local-spec is computed here; it goes without --on-server")
	}
	var done Retrieved
	progress := c.progress("Retrieving features")
	defer progress.Stop()
	err = writeWhole(g.Out, func(part *os.File) error {
		if g.OnServer {
			done, err = g.onServer(c, g.store, format, part)
			return err
		}
		if c.Program.Retrieve == nil {
			return fmt.Errorf("this build computes no retrieval itself; add --on-server")
		}
		done, err = c.Program.Retrieve(c.ctx, Retrieval{
			FeatureStore: g.store, Features: g.Features, Observations: g.Observations, TimestampColumn: g.TimestampColumn, Out: part.Name(),
			MemoryLimit: int64(g.MemoryLimit), Local: local, Endpoints: c.active.Endpoints, HTTP: c.issuer.HTTP, Progress: progress.State,
			Token: func(ctx context.Context, resource string) (AccessToken, error) {
				token, err := c.issuer.Token(ctx, resource)
				return AccessToken{Token: token.AccessToken, ExpiresOn: token.ExpiresOn}, err
			},
		})
		return err
	})
	if err != nil {
		return err
	}
	progress.Stop()
	result := document.New("out", g.Out)
	if done.Rows >= 0 {
		result.Set("rows", done.Rows)
	}
	return c.Print(result.SetIf("columns", done.Columns))
}

func readLocal(pairs []string) (map[string]map[string][]byte, error) {
	local := map[string]map[string][]byte{}
	for _, pair := range pairs {
		name, folder, ok := strings.Cut(pair, "=")
		if _, err := spec.ParseVersionRef(name); !ok || err != nil {
			return nil, usagef("--local-spec: %q is not of the form SET:VERSION=FOLDER", pair)
		}
		files, err := readFolder(folder)
		if err != nil {
			return nil, err
		}
		local[name] = files
	}
	return local, nil
}

func outFormat(file string) (string, error) {
	switch strings.ToLower(filepath.Ext(file)) {
	case ".parquet":
		return "parquet", nil
	case ".arrow", ".arrows", ".feather":
		return "arrow", nil
	case ".csv":
		return "csv", nil
	}
	return "", usagef("--out: the ending of %s names no format; expected .parquet, .arrow or .csv", filepath.Base(file))
}

type getOnline struct {
	featuresFlags
	Keys []string `required:"" sep:"none" placeholder:"COLUMN=V1,V2" help:"Values of each key column; several columns are paired by position. Quote a value that has a comma: 'name=\"a,b\",c'."`
}

func (g *getOnline) Run(c *Call) error {
	if err := g.settle(c); err != nil {
		return err
	}
	keys, err := parseKeys(g.Keys)
	if err != nil {
		return err
	}
	base, err := c.featuresPlane()
	if err != nil {
		return err
	}
	response, err := c.client.Do(c.ctx, wire.Request{Method: http.MethodPost, URL: base + g.store + "/online", Resource: profile.MachineLearning,
		Body: document.New("features", document.Strings(g.Features), "keys", keys)})
	if err != nil {
		return err
	}
	answer, err := response.Object()
	if err != nil {
		return err
	}
	rows := []*document.Object{}
	for _, row := range answer.Objects("rows") {
		shown := document.New()
		for _, key := range keys.Keys() {
			shown.Set(key, row.Get(key))
		}
		for _, name := range row.Keys() {
			shown.Set(name, row.Get(name))
		}
		rows = append(rows, shown)
	}
	return c.Print(rows)
}

func (c *Call) featuresPlane() (string, error) {
	return c.plane("features plane", "ALVARA_FEATURES_ENDPOINT", func(e profile.Endpoints) string { return e.Features })
}

// parseKeys reads COLUMN=V1,V2 …; every column must have as many values as the first.
func parseKeys(pairs []string) (*document.Object, error) {
	keys := document.New()
	count, firstColumn := 0, ""
	for _, pair := range pairs {
		column, list, ok := strings.Cut(pair, "=")
		if !ok || column == "" {
			return nil, usagef("--keys: %q is not of the form COLUMN=VALUE,VALUE", pair)
		}
		if keys.Has(column) {
			return nil, usagef("--keys: the column %q is given twice", column)
		}
		reader := csv.NewReader(strings.NewReader(list))
		reader.LazyQuotes = true
		values, err := reader.Read()
		if err != nil {
			return nil, usagef("--keys: the column %q has no values", column)
		}
		if _, err := reader.Read(); err == nil {
			return nil, usagef("--keys: the values of %q go over several lines", column)
		}
		if firstColumn == "" {
			count, firstColumn = len(values), column
		} else if len(values) != count {
			return nil, usagef("--keys: %q has %d values and %q has %d; key columns are paired by position, so each needs the same number", firstColumn, count, column, len(values))
		}
		keys.Set(column, document.Strings(values))
	}
	return keys, nil
}
