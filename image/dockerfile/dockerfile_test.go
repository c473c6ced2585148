package dockerfile_test

import (
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"

	"github.com/alvara-ml/alvara/image/dockerfile"
	"github.com/alvara-ml/alvara/resource"
)

// MI-11: what is not offered is refused by name and line, before anything runs.
func TestRefusals(t *testing.T) {
	for text, says := range map[string]string{
		"FROM a\nADD https://example.com/x /x":                "line 2: ADD of the URL https://example.com/x",
		"FROM a\nADD HTTP://example.com/x /x":                 "line 2: ADD of the URL",
		"FROM a\n\nADD git@github.com:a/b /x":                 "line 3: ADD of the git repository",
		"FROM a\nADD https://github.com/a/b.git#main /x":      "ADD of the git repository",
		"FROM a\nADD --checksum=sha256:00 x /x":               "ADD --checksum",
		"FROM a\nADD --keep-git-dir=true x /x":                "ADD --keep-git-dir",
		"FROM a\nCOPY --parents x /x":                         "COPY --parents",
		"FROM a\nRUN --network=host true":                     "RUN --network=host",
		"FROM a\nRUN --security=insecure true":                "RUN --security=insecure",
		"FROM a\nRUN --mount=type=ssh true":                   "RUN --mount=type=ssh",
		"FROM a\nRUN --device=vendor/x=y true":                "RUN --device",
		"FROM a\nRUN <<EOF\n#!/usr/bin/python\nprint()\nEOF":  "heredoc of RUN that begins with #!",
		"# syntax=example.com/frontend\nFROM a":               "# syntax=example.com/frontend",
		"# syntax=docker/dockerfile:1-labs\nFROM a":           "# syntax=docker/dockerfile:1-labs",
		"FROM --platform=linux/riscv64 a":                     "line 1: the platform linux/riscv64",
		"FROM --platform=linux/riscv64 scratch":               "line 1: the platform linux/riscv64",
		"FROM a\nSTOPSIGNAL SIGRTMIN+3":                       "",
		"FROM a\nSTOPSIGNAL quit":                             "",
		"FROM a\nSTOPSIGNAL 9":                                "",
		"FROM --platform=windows/amd64 a":                     "the platform windows/amd64",
		"ARG P=linux/s390x\nFROM --platform=$P a":             "line 2: the platform linux/s390x",
		"FROM a AS unneeded\nRUN --network=host true\nFROM b": "",
	} {
		plan, err := dockerfile.Parse([]byte(text), dockerfile.Options{})
		if err == nil {
			_, _, err = plan.Evaluate(plan.Target, nil, nil)
		}
		if says == "" {
			if err != nil {
				t.Errorf("%q: %v", text, err)
			}
			continue
		}
		e, ok := resource.AsError(err)
		if !ok || e.Kind != resource.Unsupported || !strings.Contains(e.Message, says) {
			t.Errorf("%q: %v; want Unsupported with %q", text, err, says)
		}
	}
}

func TestFaults(t *testing.T) {
	for text, says := range map[string]string{
		"":                                    "empty",
		"RUN x":                               "no build stage",
		"FROM a\nNOPE x":                      "line 2: unknown instruction: NOPE",
		"FROM $NONE":                          "line 1: the base of FROM $NONE is empty",
		"FROM a\nCOPY --from=0 x /x":          "no stage before this one",
		"FROM a\nCOPY --from=$x x /x":         "cannot contain a variable",
		"FROM a AS s\nCOPY --from=s x /x":     "is the stage itself",
		"FROM a\nCOPY x":                      "line 2",
		"ARG A":                               "no stage",
		"FROM a\nRUN --no-such-flag=x true":   "no-such-flag",
		"FROM a AS 1x":                        "invalid name for build stage",
		"FROM a\nHEALTHCHECK --interval=x NO": "line 2",
	} {
		_, err := dockerfile.Parse([]byte(text), dockerfile.Options{})
		e, ok := resource.AsError(err)
		if !ok || e.Kind != resource.Invalid || !strings.Contains(e.Message, says) {
			t.Errorf("%q: %v; want Invalid with %q", text, err, says)
		}
	}
	if _, err := dockerfile.Parse([]byte("FROM a AS x"), dockerfile.Options{Target: "y"}); err == nil || !strings.Contains(err.Error(), "it has x") {
		t.Errorf("a target that is none: %v", err)
	}
}

func TestNeededStages(t *testing.T) {
	text := "ARG TAG=1\nFROM one:$TAG AS a\nFROM two AS b\nFROM three AS c\nCOPY --from=a x /x\nCOPY --from=img:9 y /y\nFROM c\nRUN --mount=from=mounted,target=/m true\nFROM nobody"
	for target, want := range map[string]string{"3": "one:7 three img:9 mounted", "a": "one:7", "B": "two", "": "nobody"} {
		plan, err := dockerfile.Parse([]byte(text), dockerfile.Options{Target: target, Arguments: map[string]string{"TAG": "7"}, Platform: "linux/" + runtime.GOARCH})
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(plan.Images(), " "); got != want {
			t.Errorf("the target %q needs %q, not %q", target, got, want)
		}
	}
}

// Variables: ENV goes before ARG, the build's value before the default, an ARG is known from its line on, secrets are not shown.
func TestEvaluate(t *testing.T) {
	text := "ARG GLOBAL=g\nFROM base\nRUN early\nARG GLOBAL\nARG A=default\nARG S=secret\nENV E=${A:-none}-$BASE\nARG E=argument\n" +
		"RUN <<EOF\nhello $A\nEOF\nLABEL l=\"$E ${UNSET:-fallback}\"\nEXPOSE $PORTS\nONBUILD RUN trigger\nENV PORTS=\"80\"\nEXPOSE $PORTS 100-102/udp"
	plan, err := dockerfile.Parse([]byte(text), dockerfile.Options{
		Arguments: map[string]string{"A": "given", "S": "hidden", "NOT": "x", "HTTP_PROXY": "proxy"}, Secret: map[string]bool{"S": true}})
	if err != nil {
		t.Fatal(err)
	}
	steps, env, err := plan.Evaluate(plan.Target, []string{"BASE=b"}, []string{"RUN from-base"})
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"BASE=b", "E=given-b", "PORTS=80"}; !slices.Equal(env, want) {
		t.Errorf("environment %q, not %q", env, want)
	}
	if steps[0].Run[0] != "from-base" || len(steps[1].Env) != 0 {
		t.Errorf("the trigger and the first RUN: %+v %+v", steps[0], steps[1])
	}
	run := steps[7]
	if strings.Join(run.Run, "|") != "hello $A\n" || !slices.Equal(run.Env, []string{"A=given", "GLOBAL=g", "S=hidden"}) ||
		!slices.Equal(run.Shown, []string{"A=given", "GLOBAL=g", "S=***"}) || !slices.Equal(run.Hidden, []string{"HTTP_PROXY=proxy"}) {
		t.Errorf("RUN: %+v", run)
	}
	if label := steps[8].Command.(*instructions.LabelCommand).Labels[0].Value; label != "given-b fallback" {
		t.Errorf("label %q", label)
	}
	last := steps[len(steps)-1]
	if !slices.Equal(last.Ports, []string{"80/tcp", "100/udp", "101/udp", "102/udp"}) {
		t.Errorf("ports %q", last.Ports)
	}
	if unused := plan.Unused(); !slices.Equal(unused, []string{"NOT"}) {
		t.Errorf("unused %q", unused)
	}
	// What a base's trigger asks for is refused like the Dockerfile's own.
	for _, trigger := range []string{"ADD https://example.com/x /x", "COPY --from=x a /b", "RUN --network=host true", "FROM x", "NOPE"} {
		if _, _, err := plan.Evaluate(plan.Target, nil, []string{trigger}); err == nil {
			t.Errorf("the trigger %q was taken", trigger)
		}
	}
	// A variable does not bring in what is refused when it is written.
	hidden, err := dockerfile.Parse([]byte("FROM a\nARG U=https://example.com/x\nADD $U /x"), dockerfile.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := hidden.Evaluate(hidden.Target, nil, nil); resource.KindOf(err) != resource.Unsupported {
		t.Errorf("a URL in a variable: %v", err)
	}
}

// Whatever the text, reading it gives a plan or an error with a kind, and never panics.
func FuzzParse(f *testing.F) {
	f.Add("FROM a\nRUN <<EOF\nx\nEOF\nCOPY --from=0 <<A <<B /x\na\nA\nb\nB")
	f.Add("ARG A=${B:-c}\nFROM $A AS b\nHEALTHCHECK NONE\nONBUILD RUN x\nEXPOSE 1-3/udp")
	f.Add("# syntax=docker/dockerfile:1\nFROM a\nRUN --mount=type=cache,target=/x y \\\n z")
	f.Fuzz(func(t *testing.T, text string) {
		plan, err := dockerfile.Parse([]byte(text), dockerfile.Options{})
		if err != nil {
			if resource.KindOf(err) == resource.Internal {
				t.Errorf("%q: an error without a kind: %v", text, err)
			}
			return
		}
		for _, stage := range plan.Stages {
			if _, _, err := plan.Evaluate(stage, nil, nil); err != nil && resource.KindOf(err) == resource.Internal {
				t.Errorf("%q: an error without a kind: %v", text, err)
			}
		}
	})
}

func TestStopSignal(t *testing.T) {
	for signal, good := range map[string]bool{"SIGTERM": true, "quit": true, "9": true, "64": true, "SIGRTMIN+3": true, "RTMAX-14": true,
		"foo": false, "0": false, "65": false, "SIGRTMIN+16": false, "SIG": false} {
		plan, err := dockerfile.Parse([]byte("FROM a\nSTOPSIGNAL "+signal), dockerfile.Options{})
		if err == nil {
			_, _, err = plan.Evaluate(plan.Target, nil, nil)
		}
		if (err == nil) != good {
			t.Errorf("%s: %v", signal, err)
		}
	}
}
