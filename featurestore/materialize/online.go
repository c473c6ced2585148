package materialize

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/ipc"

	"github.com/alvara-ml/alvara/featurestore/engine"
	"github.com/alvara-ml/alvara/resource"
)

// Audience is what tokens for the features plane are for.
const Audience = "https://ml.azure.com/"

// putOnline sends the newest row of every key to the features plane, which replaces the window with them.
func (r *run) putOnline(ctx context.Context, rows []engine.OutputFile) error {
	files, err := r.latest(ctx, rows)
	if err != nil {
		return err
	}
	began := time.Now()
	took, err := r.send(ctx, files, r.order.Start, r.order.End, true)
	if err != nil {
		return r.explain(err, "online store", Location{})
	}
	r.result.OnlineRows = took.Rows
	r.w.log("online store: %d rows put in %s, %d older ones of the window removed", took.Rows, time.Since(began).Round(time.Millisecond), took.Retracted)
	if took.Retracted > 0 || r.settled {
		return r.restore(ctx)
	}
	return nil
}

// restore gives keys that lost their row with the window the newest one from before it. The plane keeps whatever is newer.
// Without an offline table nobody knows earlier rows.
func (r *run) restore(ctx context.Context) error {
	if !r.order.fromTable() || !firstTime.Before(r.order.Start) {
		return nil
	}
	rows, err := r.readWindow(ctx, firstTime, r.order.Start)
	if err != nil {
		return r.explain(err, "offline store", r.order.Target)
	}
	if len(rows) == 0 {
		return nil
	}
	files, err := r.latest(ctx, rows)
	if err != nil {
		return err
	}
	took, err := r.send(ctx, files, firstTime, r.order.Start, false)
	if err != nil {
		return r.explain(err, "online store", Location{})
	}
	r.w.log("online store: %d rows from before the window offered again, for keys that have none in it any more", took.Rows)
	return nil
}

// latest keeps the newest row of every key.
func (r *run) latest(ctx context.Context, rows []engine.OutputFile) ([]string, error) {
	out, err := r.make("latest")
	if err != nil {
		return nil, err
	}
	latest := engine.Latest{
		Index: EngineColumns(r.spec.IndexColumns), TimestampColumn: r.spec.TimestampColumn.Name, Features: EngineColumns(r.spec.Features),
		OutputDir: out, Scratch: r.dir, Limits: r.order.Limits,
	}
	for _, file := range rows {
		latest.Files = append(latest.Files, file.Path)
	}
	result, err := r.w.Engine.Latest(ctx, latest)
	if err != nil {
		return nil, err
	}
	files := make([]string, len(result.Files))
	for i, file := range result.Files {
		files[i] = file.Path
	}
	return files, nil
}

// taken is what the features plane did with rows.
type taken struct {
	Rows      int64 `json:"rows"`
	Retracted int64 `json:"retracted"` // keys whose row was removed, because the window has none for them any more
}

// send streams files of rows of [start, end) as one Arrow stream. With replace, older rows of the window go.
func (r *run) send(ctx context.Context, files []string, start, end time.Time, replace bool) (taken, error) {
	token, err := r.w.Credential.GetToken(ctx, policy.TokenRequestOptions{Scopes: []string{Audience + ".default"}})
	if err != nil {
		return taken{}, err
	}
	query := url.Values{
		"start": {start.UTC().Format(time.RFC3339Nano)}, "end": {end.UTC().Format(time.RFC3339Nano)}, "job": {r.order.Job.Name()},
		"ttl": {strconv.FormatInt(int64((r.order.OnlineTTL+time.Second-1)/time.Second), 10)}, "replace": {strconv.FormatBool(replace)},
	}
	body, writer := io.Pipe()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, strings.TrimSuffix(r.w.Features, "/")+r.order.Version.String()+"/rows?"+query.Encode(), body)
	if err != nil {
		return taken{}, err
	}
	request.Header.Set("Authorization", "Bearer "+token.Token)
	request.Header.Set("Content-Type", "application/vnd.apache.arrow.stream")
	request.Header.Set("Expect", "100-continue") // a refusal comes before the rows are sent
	written := make(chan error, 1)
	go func() {
		err := r.stream(ctx, files, writer)
		written <- err
		_ = writer.CloseWithError(err) // never fails
	}()
	client := r.w.HTTP
	if client == nil {
		client = http.DefaultClient
	}
	response, err := client.Do(request)
	_ = body.Close() // ends the stream when the answer came first
	streamErr := <-written
	if err != nil {
		switch {
		case ctx.Err() != nil:
			return taken{}, ctx.Err()
		case streamErr != nil && !errors.Is(streamErr, io.ErrClosedPipe):
			return taken{}, streamErr
		}
		return taken{}, resource.Errorf(resource.Unavailable, "FeaturesUnreachable", "The features plane could not be reached: %v", err).Because(err)
	}
	defer func() { _ = response.Body.Close() }() // only read
	if response.StatusCode != http.StatusOK {
		return taken{}, ReadError(response)
	}
	var answer taken
	if err := json.NewDecoder(io.LimitReader(response.Body, 1<<20)).Decode(&answer); err != nil {
		return taken{}, resource.Errorf(resource.Unavailable, "FeaturesUnreachable", "The features plane's answer cannot be read: %v", err).Because(err)
	}
	if streamErr != nil {
		return taken{}, fmt.Errorf("the features plane answered before it had all rows: %w", streamErr)
	}
	return answer, nil
}

// stream writes the files' rows; without files it writes a stream of the right columns that has none.
func (r *run) stream(ctx context.Context, files []string, to io.Writer) error {
	schema := r.arrowSchema()
	names := make([]string, schema.NumFields())
	for i, field := range schema.Fields() {
		names[i] = field.Name
	}
	var writer *ipc.Writer
	err := r.w.Engine.Scan(ctx, files, names, func(batch arrow.RecordBatch) error {
		if writer == nil {
			writer = ipc.NewWriter(to, ipc.WithSchema(batch.Schema()))
		}
		return writer.Write(batch)
	})
	if err != nil {
		return err
	}
	if writer == nil {
		writer = ipc.NewWriter(to, ipc.WithSchema(schema))
	}
	return writer.Close() // writes the mark that the stream ended well
}

var arrowTypes = map[engine.ColumnType]arrow.DataType{
	engine.String: arrow.BinaryTypes.String, engine.Integer: arrow.PrimitiveTypes.Int32, engine.Long: arrow.PrimitiveTypes.Int64,
	engine.Float: arrow.PrimitiveTypes.Float32, engine.Double: arrow.PrimitiveTypes.Float64, engine.Binary: arrow.BinaryTypes.Binary,
	engine.Datetime: &arrow.TimestampType{Unit: arrow.Microsecond, TimeZone: "UTC"}, engine.Boolean: arrow.FixedWidthTypes.Boolean,
}

func (r *run) arrowSchema() *arrow.Schema {
	var fields []arrow.Field
	for _, c := range r.spec.Columns() {
		fields = append(fields, arrow.Field{Name: c.Name, Type: arrowTypes[engine.ColumnType(c.Type)], Nullable: true})
	}
	return arrow.NewSchema(fields, nil)
}

// kinds are what the statuses of the planes mean.
var kinds = map[int]resource.Kind{
	http.StatusBadRequest: resource.Invalid, http.StatusUnauthorized: resource.Unauthenticated, http.StatusForbidden: resource.Forbidden,
	http.StatusNotFound: resource.NotFound, http.StatusConflict: resource.Conflict, http.StatusPreconditionFailed: resource.PreconditionFailed,
	http.StatusRequestEntityTooLarge: resource.TooLarge, http.StatusTooManyRequests: resource.Unavailable, http.StatusMethodNotAllowed: resource.MethodNotAllowed,
}

// ReadError reads the error out of an answer of the shape {"error":{"code","message"}}. What may pass by itself is
// Unavailable.
func ReadError(response *http.Response) error {
	text, err := io.ReadAll(io.LimitReader(response.Body, 1<<20))
	var answer struct {
		Error struct {
			Code    string `json:"code"`
			Message string `json:"message"`
			Target  string `json:"target"`
		} `json:"error"`
	}
	if err == nil {
		err = json.Unmarshal(text, &answer)
	}
	kind, known := kinds[response.StatusCode]
	if !known {
		kind = resource.Unavailable
		if response.StatusCode/100 == 4 {
			kind = resource.Invalid
		}
	}
	if err != nil || answer.Error.Message == "" {
		return resource.Errorf(kind, "UnexpectedAnswer", "%s answered %s.", response.Request.URL.Host, response.Status)
	}
	e := resource.Errorf(kind, answer.Error.Code, "%s", answer.Error.Message)
	e.Target = answer.Error.Target
	return e
}
