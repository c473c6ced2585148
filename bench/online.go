package bench

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"path/filepath"
	"strings"

	"github.com/alvara-ml/alvara/featurestore/engine/enginebench"
)

const (
	onlineFeatures = 50
	onlineRate     = 1000 // requests per second
	onlineConns    = 8
)

// online is P3: reads of one and of a hundred rows of 50 features over TLS, at 1,000 requests per second, beside a server
// that answers as many bytes to the same requests.
func (b *run) online(ctx context.Context) ([]Measurement, error) {
	f, err := b.featureStore(ctx)
	if err != nil {
		return nil, err
	}
	found, err := f.reads(ctx)
	return found, errors.Join(err, f.stop())
}

func (f *featureStore) reads(ctx context.Context) ([]Measurement, error) {
	rows := max(50_000/f.b.Scale, 200)
	if err := f.fill(ctx, rows); err != nil {
		return nil, err
	}
	address := f.endpoints.Features + f.id + "/online"
	var found []Measurement
	for _, count := range []int{1, 100} {
		plan := loadPlan{
			URL: address, CAFile: f.endpoints.CAFile, Token: f.token, Bodies: bodies(count, rows),
			Rate: onlineRate, Connections: onlineConns, Requests: max(10*onlineRate/f.b.Scale, 200),
		}
		sample, err := plan.once(ctx)
		if err != nil {
			return nil, err
		}
		if got := bytes.Count(sample, []byte(`"f49":`)); got != count || bytes.Contains(sample, []byte("null")) {
			return nil, fmt.Errorf("an online read of %d rows answers %.200s", count, sample)
		}
		measured, err := f.against(ctx, plan, len(sample), count)
		if err != nil {
			return nil, err
		}
		found = append(found, measured...)
	}
	return found, nil
}

// fill materializes rows online through the server, as users do.
func (f *featureStore) fill(ctx context.Context, rows int) error {
	file := filepath.Join(f.b.dir, "online.parquet")
	columns, specification := "", "features:\n"
	for i := range onlineFeatures {
		kind := "double"
		if i%5 == 0 {
			kind = "long"
			columns += fmt.Sprintf(", (hash(i * 31 + %d) %% 1000)::BIGINT AS f%d", i, i)
		} else {
			columns += fmt.Sprintf(", (hash(i * 31 + %d) %% 1000000007) / 1e7::DOUBLE AS f%d", i, i)
		}
		specification += fmt.Sprintf("  - {name: f%d, type: %s}\n", i, kind)
	}
	specification += "index_columns:\n  - {name: k, type: long}\n"
	_, err := f.b.raw(ctx, fmt.Sprintf("COPY (SELECT i AS k, TIMESTAMP '2024-01-01' + to_seconds(i) AS ts%s FROM range(%d) t(i)) TO '%s' (FORMAT parquet)", columns, rows, file))
	if err != nil {
		return err
	}
	if err := f.register(ctx, "reads", file, specification); err != nil {
		return err
	}
	return f.backfill(ctx, "reads", "2024-01-01", "2024-02-01")
}

// raw runs one statement of plain SQL in a process of its own.
func (b *run) raw(ctx context.Context, statement string) (Cost, error) {
	command := b.program(enginebench.RawArgument, "2", statement)
	cmd := newCommand(ctx, command)
	cmd.Dir = b.dir
	return execute(cmd)
}

func bodies(count, rows int) []string {
	random := rand.New(rand.NewPCG(uint64(count), 3))
	list := make([]string, 64)
	for i := range list {
		keys := make([]string, count)
		for j := range keys {
			keys[j] = fmt.Sprint(random.IntN(rows))
		}
		list[i] = `{"features":["reads:1"],"keys":{"k":[` + strings.Join(keys, ",") + `]}}`
	}
	return list
}

// against runs the plan on the server and on an echo in turns.
func (f *featureStore) against(ctx context.Context, plan loadPlan, size, count int) ([]Measurement, error) {
	b := f.b
	echo, err := b.startEcho(ctx, size)
	if err != nil {
		return nil, err
	}
	defer echo.stop()
	plain := plan
	plain.URL, plain.CAFile = echo.address, echo.caFile
	var reports [2][]loadReport
	sides := []func() (Cost, error){
		func() (Cost, error) { return b.load(ctx, plain, echo.cmd.Process.Pid, &reports[0]) },
		func() (Cost, error) { return b.load(ctx, plan, f.cmd.Process.Pid, &reports[1]) },
	}
	for _, side := range sides { // to warm up
		if _, err := side(); err != nil {
			return nil, err
		}
	}
	reports = [2][]loadReport{}
	limit, ours, err := turns(b.Rounds, sides[0], sides[1])
	if err != nil {
		return nil, err
	}
	late := [2]Cost{medianOf(reports[0], limit), medianOf(reports[1], ours)}
	rate := 0.0
	for _, r := range reports[1] {
		rate = max(rate, float64(plan.Requests)/r.Wall)
	}
	name, most := "1 row", 1.7e-3
	if count > 1 {
		name, most = fmt.Sprintf("%d rows", count), 17e-3
	}
	text := fmt.Sprintf("%d features × %s, answers of %d bytes, TLS keep-alive on %d connections, %.0f requests per second of %d asked", onlineFeatures, name, size, onlineConns, rate, onlineRate)
	perRequest := func(c Cost) float64 { return c.CPU / float64(plan.Requests) * 1e6 }
	return []Measurement{
		{
			ID: "P3", Name: "online read, server CPU, " + name, Ratio: ours.CPU / limit.CPU, Target: "server CPU ≤ 2 × echo, ≥ 1,000 requests/s",
			Met: ours.CPU <= 2*limit.CPU && rate >= 0.99*onlineRate, Ours: ours, Limit: limit,
			Size: fmt.Sprintf("%d requests; %s; ours %.0f µs CPU a request, echo %.0f µs", plan.Requests, text, perRequest(ours), perRequest(limit)),
		},
		{
			ID: "P3", Name: "online read, p99, " + name, Ratio: late[1].Wall / late[0].Wall, Target: fmt.Sprintf("p99 ≤ %g ms (wall_s)", most*1e3),
			Met: late[1].Wall <= most && rate >= 0.99*onlineRate, Ours: late[1], Limit: late[0],
			Size: text + fmt.Sprintf("; ours p50 %.2f ms, p99 %.2f ms; echo p50 %.2f ms, p99 %.2f ms, counted from when a request was due",
				middle(reports[1])*1e3, late[1].Wall*1e3, middle(reports[0])*1e3, late[0].Wall*1e3),
		},
	}, nil
}

// medianOf replaces the wall time by the median of the rounds' 99th percentiles.
func medianOf(reports []loadReport, cost Cost) Cost {
	costs := make([]Cost, len(reports))
	for i, r := range reports {
		costs[i].Wall = r.P99
	}
	cost.Wall = median(costs).Wall
	return cost
}

func middle(reports []loadReport) float64 {
	costs := make([]Cost, len(reports))
	for i, r := range reports {
		costs[i].Wall = r.P50
	}
	return median(costs).Wall
}

// load runs the plan in a process of its own and charges the server with what it used meanwhile.
func (b *run) load(ctx context.Context, plan loadPlan, pid int, reports *[]loadReport) (Cost, error) {
	before, err := cpuOf(pid)
	if err != nil {
		return Cost{}, err
	}
	var report loadReport
	if err := b.child(ctx, "client", plan, &report); err != nil {
		return Cost{}, err
	}
	after, err := cpuOf(pid)
	if err != nil {
		return Cost{}, err
	}
	resident, err := residentOf(pid)
	*reports = append(*reports, report)
	return Cost{Wall: report.Wall, CPU: (after - before).Seconds(), Peak: float64(resident) / mebibyte}, err
}

// once sends one request of the plan and gives the answer.
func (p loadPlan) once(ctx context.Context) ([]byte, error) {
	client, err := p.client()
	if err != nil {
		return nil, err
	}
	defer client.CloseIdleConnections()
	request, err := p.request(ctx, 0)
	if err != nil {
		return nil, err
	}
	response, err := client.Do(request)
	if err != nil {
		return nil, err
	}
	defer func() { _ = response.Body.Close() }() // only read
	text, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", response.Status, text)
	}
	return text, err
}

// startEcho starts the limit of online reads.
func (b *run) startEcho(ctx context.Context, size int) (*echoServer, error) {
	command := b.program(childArgument, "echo")
	e := &echoServer{cmd: newCommand(ctx, command), caFile: filepath.Join(b.dir, fmt.Sprintf("echo-%d.pem", size))}
	return e, e.start(echoPlan{Bytes: size, CAFile: e.caFile})
}
