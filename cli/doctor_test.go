package cli

import (
	"net/http"
	"reflect"
	"strings"
	"testing"
)

const (
	doctorPath  = "/subscriptions/sub1/resourceGroups/rg1/providers/Microsoft.MachineLearningServices/workspaces/ws/doctor"
	cannotPull  = `{"id":"ComputeCannotPull","level":"error","what":"/c","message":"The compute cpu may not pull.","why":"Its jobs have no image.","cure":["alvara acr update -n fraudacr -g rg1 --admin-enabled false"]}`
	tooBroad    = `{"id":"GrantTooBroad","level":"warning","what":"/c","message":"It owns\u001b[2J all.","why":"So may its jobs.","cure":["alvara role assignment delete --ids /a"],"manual":true}`
	noRegistry  = `{"id":"RegistryNotCreated","level":"info","what":"/w","message":"There is none.","why":"","cure":[]}`
	wrongCure   = `{"id":"Odd","level":"error","what":"/c","message":"x","cure":["alvara group delete -n rg1 --yes"]}`
	anotherCure = `{"id":"Odd","level":"error","what":"/c","message":"x","cure":["rm -rf /"]}`
)

// examined is a server whose doctor gives these answers one after the other; the last one stays.
func examined(t *testing.T, answers ...string) *plant {
	asked := 0
	return newPlant(t, map[string]http.HandlerFunc{
		"POST " + doctorPath: func(w http.ResponseWriter, r *http.Request) {
			says(200, `{"value":[`+answers[min(asked, len(answers)-1)]+`]}`)(w, r)
			asked++
		},
		"PATCH " + registryID: says(200, registryJSON("h")),
	})
}

// Without --output the findings are written to be read; commands stand on lines of their own, and nothing steers the terminal.
func TestDoctorIsWrittenToBeRead(t *testing.T) {
	p := examined(t, cannotPull+","+tooBroad+","+noRegistry)
	code, stdout, stderr := p.run(t.Context(), "doctor -w ws -g rg1")
	want := `✗ ComputeCannotPull: The compute cpu may not pull.
  Its jobs have no image.
    alvara acr update -n fraudacr -g rg1 --admin-enabled false

! GrantTooBroad: It owns[2J all.
  So may its jobs.
  This is yours to decide, and --fix leaves it to you:
    alvara role assignment delete --ids /a

i RegistryNotCreated: There is none.

ws: 1 error, 1 warning, 1 note
`
	if code != ExitFindings || stdout != want {
		t.Errorf("exit code %d, %s\n%s", code, stderr, stdout)
	}
	long := wrapped(strings.Repeat("word ", 60))
	for _, line := range strings.Split(long, "\n") {
		if len(line) > reportWidth+2 {
			t.Errorf("a line of %d characters", len(line))
		}
	}
	if strings.Join(strings.Fields(long), " ") != strings.TrimSpace(strings.Repeat("word ", 60)) {
		t.Errorf("wrapping changes the text: %s", long)
	}
}

// The exit code is for scripts, and with --output or --query the findings are data.
func TestDoctorsExitCode(t *testing.T) {
	for _, c := range []struct {
		answer string
		args   string
		code   int
		stdout string
	}{
		{"", "", ExitOK, "ws: no errors, no warnings, no notes\n"},
		{noRegistry, "--strict", ExitOK, "1 note\n"},
		{tooBroad, "", ExitOK, "no errors, 1 warning"},
		{tooBroad, "--strict", ExitFindings, ""},
		{cannotPull, "-o tsv --query [].id", ExitFindings, "ComputeCannotPull\n"},
		{cannotPull, "-o json", ExitFindings, `"cure": [`},
		{cannotPull, "-o none", ExitFindings, ""},
		{noRegistry + "," + tooBroad, "-o table", ExitOK, "GrantTooBroad"},
	} {
		code, stdout, stderr := examined(t, c.answer).run(t.Context(), "doctor -n ws -g rg1 "+c.args)
		if code != c.code || !strings.Contains(stdout, c.stdout) || (c.args == "-o none" && stdout != "") {
			t.Errorf("%s on %s: exit code %d\n%s%s", c.args, c.answer, code, stdout, stderr)
		}
	}
	if code, help, _ := newPlant(t, nil).run(t.Context(), "doctor --help"); code != ExitOK || !strings.Contains(strings.Join(strings.Fields(help), " "), "Exit codes: 0 when there is no error among the findings, 4 when there is") {
		t.Errorf("the help does not tell the exit codes: %s", help)
	}
	if code, _, _ := newPlant(t, nil).run(t.Context(), "doctor -w none -g rg1"); code != ExitNotFound {
		t.Errorf("a workspace that is not there: exit code %d", code)
	}
}

// --fix runs what needs nobody's decision, after a question, and looks again. A server cannot have anything else run.
func TestDoctorFixes(t *testing.T) {
	p := examined(t, cannotPull+","+tooBroad, tooBroad)
	code, stdout, stderr := p.run(t.Context(), "doctor -w ws -g rg1 --fix")
	if code != ExitUsage || !strings.Contains(stderr, "--yes") || len(patched(p)) != 0 {
		t.Errorf("without --yes: exit code %d\n%s%s", code, stdout, stderr)
	}
	p = examined(t, cannotPull+","+tooBroad, tooBroad)
	code, stdout, stderr = p.run(t.Context(), "doctor -w ws -g rg1 --fix --yes")
	if code != ExitOK || strings.Contains(stdout, "ComputeCannotPull") || !strings.Contains(stdout, "GrantTooBroad") || !strings.Contains(stderr, "alvara acr update") || strings.Contains(stderr, "role assignment delete") {
		t.Errorf("--fix: exit code %d\n%s%s", code, stdout, stderr)
	}
	if sent := patched(p); len(sent) != 1 || !strings.Contains(string(sent[0].Body), "false") {
		t.Errorf("what was sent: %v", sent)
	}
	// What a cure brings to light is cured too, and nothing is run twice.
	p = examined(t, cannotPull, strings.ReplaceAll(cannotPull, "enabled false", "enabled true"), cannotPull)
	code, stdout, stderr = p.run(t.Context(), "doctor -w ws -g rg1 --fix --yes")
	if sent := patched(p); code != ExitFindings || len(sent) != 2 || !strings.Contains(string(sent[0].Body), "false") || !strings.Contains(string(sent[1].Body), "true") {
		t.Errorf("round by round: exit code %d, %d changes\n%s%s", code, len(sent), stdout, stderr)
	}
	for _, evil := range []string{wrongCure, anotherCure, cannotPull + "," + wrongCure} {
		p := examined(t, evil)
		if code, _, stderr := p.run(t.Context(), "doctor -w ws -g rg1 --fix --yes"); code != ExitError || !strings.Contains(stderr, "a cure that is none") || len(patched(p)) != 0 {
			t.Errorf("%s: exit code %d, %s", evil, code, stderr)
		}
	}
	p = examined(t, strings.ReplaceAll(cannotPull, "fraudacr", "other"))
	if code, _, stderr := p.run(t.Context(), "doctor -w ws -g rg1 --fix --yes"); code != ExitFindings || !strings.Contains(stderr, "this has failed: alvara acr update -n other") {
		t.Errorf("a cure that fails: exit code %d, %s", code, stderr)
	}
}

// patched gives the changes of the registry that were sent.
func patched(p *plant) []exchange {
	var out []exchange
	for _, e := range p.sent() {
		if e.Method == http.MethodPatch {
			out = append(out, e)
		}
	}
	return out
}

func TestSplitCommand(t *testing.T) {
	for line, want := range map[string][]string{
		`alvara a  b`:                {"alvara", "a", "b"},
		`x --role "AcrPull" --s /a`:  {"x", "--role", "AcrPull", "--s", "/a"},
		`x '{"A":"b c"}' '' "d\"e"`:  {"x", `{"A":"b c"}`, "", `d"e`},
		`x 'it'\''s' $(rm) ; a|b >c`: {"x", "it's", "$(rm)", ";", "a|b", ">c"},
		"":                           nil,
	} {
		if got, err := splitCommand(line); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s gives %q, %v; want %q", line, got, err, want)
		}
	}
	for _, line := range []string{`a 'b`, `a "b`, `a \`} {
		if got, err := splitCommand(line); err == nil {
			t.Errorf("%s gives %q", line, got)
		}
	}
}
