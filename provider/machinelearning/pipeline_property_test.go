package machinelearning

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/alvara-ml/alvara/resource"
)

// randomNeeds makes a graph of steps; one with cycles now and then.
func randomNeeds(random *rand.Rand, cycles bool) map[string][]string {
	count, needs := 1+random.IntN(9), map[string][]string{}
	names := make([]string, count)
	for i := range names {
		names[i] = string(rune('a' + i))
	}
	random.Shuffle(count, func(i, j int) { names[i], names[j] = names[j], names[i] })
	for i, name := range names {
		needs[name] = nil
		for j, other := range names {
			if (j < i && random.IntN(3) == 0) || (cycles && random.IntN(2*count*count) == 0) {
				needs[name] = append(needs[name], other)
			}
		}
	}
	return needs
}

// orderNaive picks, again and again, the first name of those that need nothing which is not picked.
func orderNaive(needs map[string][]string) (out []string, whole bool) {
	for {
		next := ""
		for name, of := range needs {
			free := !slices.Contains(out, name) && !slices.ContainsFunc(of, func(other string) bool { return !slices.Contains(out, other) })
			if free && (next == "" || name < next) {
				next = name
			}
		}
		if next == "" {
			return out, len(out) == len(needs)
		}
		out = append(out, next)
	}
}

func TestOrderOfSteps(t *testing.T) {
	cyclic := 0
	for seed := range uint64(5000) {
		needs := randomNeeds(rand.New(rand.NewPCG(seed, 1)), true)
		want, whole := orderNaive(needs)
		got, err := orderSteps(needs)
		if whole {
			if err != nil || !slices.Equal(got, want) {
				t.Fatalf("seed %d: %v: %v, %v; want %v", seed, needs, got, err, want)
			}
			continue
		}
		cyclic++
		e, known := resource.AsError(err)
		if !known || e.Code != "PipelineCycle" {
			t.Fatalf("seed %d: %v: %v; want a cycle", seed, needs, err)
		}
		_, rest, _ := strings.Cut(e.Message, "no step of ")
		text, _, _ := strings.Cut(rest, " can begin")
		named := strings.Split(text, " → ")
		if len(named) < 2 || named[0] != named[len(named)-1] || e.Target != "properties.jobs."+named[0] {
			t.Fatalf("seed %d: %v: the cycle is %v", seed, needs, named)
		}
		for i, name := range named[1:] {
			if !slices.Contains(needs[named[i]], name) {
				t.Fatalf("seed %d: %v: the cycle is %v, and %s does not need %s", seed, needs, named, named[i], name)
			}
		}
	}
	if cyclic < 100 || cyclic > 4000 {
		t.Errorf("%d of the graphs have cycles", cyclic)
	}
}

// Random pipelines with random ends: a step begins as soon as all that it needs has completed and once at most, nothing begins after a
// failure unless the pipeline goes on, and every pipeline ends with the outcome that the ends of its steps have.
func TestPipelinesAgreeWithTheNaiveModel(t *testing.T) {
	for seed := range uint64(3000) {
		random := rand.New(rand.NewPCG(seed, 2))
		needs := randomNeeds(random, false)
		order, err := orderSteps(needs)
		if err != nil {
			t.Fatal(err)
		}
		run := &pipelineRun{Onwards: random.IntN(2) == 0}
		fails := map[string]bool{}
		for _, name := range order {
			run.Steps = append(run.Steps, &stepRun{Name: name, Needs: needs[name], Job: "p-" + name})
			fails[name] = random.IntN(6) == 0
		}
		begun, running, completed := map[string]bool{}, []string{}, map[string]bool{}
		failed, canceling, canceled := false, false, false
		end := func(name, status string) {
			run.find(name).Status = status
			running = slices.DeleteFunc(running, func(other string) bool { return other == name })
			switch status {
			case jobCompleted:
				completed[name] = true
			case jobFailed:
				failed = true
			}
		}
		for range 1000 {
			begin, stop := run.next(canceling)
			broken := canceling || failed && !run.Onwards
			var ready []string
			for _, name := range order {
				if !broken && !begun[name] && !slices.ContainsFunc(needs[name], func(other string) bool { return !completed[other] }) {
					ready = append(ready, name)
				}
			}
			var got []string
			for _, step := range begin {
				got = append(got, step.Name)
				step.Begun, begun[step.Name] = true, true
				running = append(running, step.Name)
			}
			if !slices.Equal(got, ready) {
				t.Fatalf("seed %d: %v begin; want %v", seed, got, ready)
			}
			if broken != (len(stop) > 0) && len(running) > 0 || broken && len(stop) != len(running) {
				t.Fatalf("seed %d: broken %t, %d run and %d are stopped", seed, broken, len(running), len(stop))
			}
			if len(running) == 0 {
				break
			}
			name := running[random.IntN(len(running))]
			switch {
			case broken && random.IntN(3) > 0:
				end(name, jobCanceled)
				canceled = true
			case fails[name]:
				end(name, jobFailed)
			default:
				end(name, jobCompleted)
			}
			if !canceling && random.IntN(30) == 0 {
				canceling = true
			}
		}
		run.next(canceling)
		result, ended := run.outcome(canceling)
		if !ended {
			t.Fatalf("seed %d: it never ends: %v", seed, run.Steps)
		}
		want := jobCompleted
		switch {
		case canceling && (canceled || len(begun) < len(order)):
			want = jobCanceled
		case failed:
			want = jobFailed
		}
		if result.state != want {
			t.Fatalf("seed %d: it is %s (%s); want %s", seed, result.state, result.message, want)
		}
		for _, step := range run.Steps {
			if skipped := step.Status == stepSkipped; skipped == begun[step.Name] {
				t.Fatalf("seed %d: the step %s is %s, and has begun: %t", seed, step.Name, step.Status, begun[step.Name])
			}
		}
	}
}

// A step is read in the resource manager's words and in those of files alike.
func TestStepsInBothWords(t *testing.T) {
	one, err := readStep("s", []byte(`{"type":"command","command":"c","environmentId":"azureml:e:1","codeId":"azureml:c:1","computeId":"azureml:x","environmentVariables":{"a_b":"1"},
		"inputs":{"in_put":{"jobInputType":"uri_file","uri":"u","mode":"Download"},"n":{"jobInputType":"literal","value":"7"},"b":{"jobInputType":"literal","value":"true"}},
		"outputs":{"o":{"uri":"${{parent.outputs.x}}"},"p":{"jobOutputType":"uri_file","uri":"v"}},"resources":{"instanceCount":2,"shmSize":"2g"},"limits":{"timeout":"PT60S"},
		"distribution":{"distributionType":"PyTorch"},"identity":{"identityType":"UserIdentity"},"displayName":"d","tags":{"t_t":"1"}}`))
	if err != nil {
		t.Fatal(err)
	}
	other, err := readStep("s", []byte(`{"jobType":"Command","name":"s","command":"c","environment":"azureml:e:1","code":"azureml:c:1","compute":"azureml:x","environment_variables":{"a_b":"1"},
		"inputs":{"in_put":{"type":"uri_file","path":"u","mode":"Download"},"n":7,"b":{"job_input_type":"literal","value":true}},
		"outputs":{"o":"${{parent.outputs.x}}","p":{"job_output_type":"uri_file","path":"v"}},"resources":{"instance_count":2,"shm_size":"2g"},"limits":{"timeout":60},
		"distribution":{"type":"PyTorch"},"identity":{"type":"UserIdentity"},"display_name":"d","tags":{"t_t":"1"},"_source":"YAML.JOB","componentId":null}`))
	if err != nil {
		t.Fatal(err)
	}
	if a, b := fmt.Sprint(asJSON(one)), fmt.Sprint(asJSON(other)); a != b || !strings.Contains(a, "in_put") {
		t.Errorf("the same in other words:\n%s\n%s", a, b)
	}
	for text, want := range map[string]string{
		`7`:                              "no object",
		`{"command":"c"}`:                "type is missing",
		`{"type":"sweep"}`:               "sweep",
		`{"type":"command","comand":""}`: "comand",
		`{"type":"command","componentId":"azureml:c:1"}`: "components",
		`{"type":"command","inputs":[1]}`:                "inputs",
		`{"type":"command","status":"Completed"}`:        "status",
	} {
		if _, err := readStep("s", []byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v; want %q", text, err, want)
		}
	}
}
