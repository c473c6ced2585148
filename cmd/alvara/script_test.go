package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/alvara-ml/alvara/app"
	"github.com/alvara-ml/alvara/cli"
	exampleimage "github.com/alvara-ml/alvara/examples/image"
	"github.com/alvara-ml/alvara/job/sandbox"
)

func TestMain(m *testing.M) {
	if status, ours := app.Child(os.Args); ours {
		os.Exit(status)
	}
	testscript.Main(m, map[string]func(){"alvara": func() { os.Exit(run()) }, "az": func() { os.Exit(run()) }})
}

// TestCommands runs the command line against servers in this process, one for each script. Besides testscript's own commands, a script has:
//
//	alvara ARGS…      run a command line; the variable as=NAME chooses the profile folder
//	az ARGS…          the same as alvara, called by the name az
//	exits N ARGS…     run a command line that must end with this exit code
//	as NAME           go on as another signed-in user
//	set NAME ARGS…    run a command line and keep its output, without the newline, in a variable
//	image push|pull  an image, as crane does, with the sign-in that docker's configuration has
//	cure ID ARGS…     run the commands that `alvara doctor ARGS…` prints for the finding ID, as they stand there
//	scorer DIR       write the context of an image that serves requests into a folder
//	shell DIR        write the context of a base image with this machine's shell into a folder
//
// The condition [sandbox] holds where images whose Dockerfile has a RUN can be built.
func TestCommands(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata/commands",
		Setup: func(env *testscript.Env) error {
			data := filepath.Join(env.WorkDir, ".data")
			server, err := app.Open(t.Context(), app.Config{DataDir: data, Log: slog.New(slog.DiscardHandler), PasswordGrant: true})
			if err != nil {
				return err
			}
			env.Defer(func() {
				ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
				defer cancel()
				if err := server.Close(ctx); err != nil {
					t.Error(err)
				}
				if err := endRuns(ctx, data); err != nil {
					t.Error(err)
				}
			})
			env.Setenv("DATA", data)
			env.Setenv("SUB", server.Endpoints.Subscription)
			env.Setenv("TENANT", server.Endpoints.Tenant)
			env.Setenv("ALVARA_CONFIG_DIR", filepath.Join(env.WorkDir, ".admin"))
			return nil
		},
		Condition: condition,
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"alvara": called("alvara"),
			"az":     called("az"),
			"exits": func(ts *testscript.TestScript, neg bool, args []string) {
				want, err := strconv.Atoi(args[0])
				ts.Check(err)
				if code := runScript(ts, "", args[1:]); (code == want) == neg {
					ts.Fatalf("exit code %d", code)
				}
			},
			"image": transferImage,
			"shell": func(ts *testscript.TestScript, _ bool, args []string) {
				ts.Check(exampleimage.Shell(ts.MkAbs(args[0])))
			},
			"scorer": scorer,
			"cure":   runCure,
			"as": func(ts *testscript.TestScript, _ bool, args []string) {
				ts.Setenv("ALVARA_CONFIG_DIR", filepath.Join(ts.Getenv("WORK"), "."+args[0]))
			},
			"set": func(ts *testscript.TestScript, neg bool, args []string) {
				var out strings.Builder
				p := program(strings.NewReader(""), &out, ts.Stderr(), ts.Getenv)
				if code := p.Run(context.Background(), args[1:]); code != 0 {
					ts.Fatalf("exit code %d", code)
				}
				ts.Setenv(args[0], strings.TrimSpace(out.String()))
			},
		},
	})
}

// condition tells whether a script's condition holds.
func condition(name string) (bool, error) {
	if name != "sandbox" {
		return false, fmt.Errorf("%s is no condition", name)
	}
	can := sandbox.Check()
	return can.Ready(), nil
}

// called is the script's command that runs a command line under a name.
func called(name string) func(*testscript.TestScript, bool, []string) {
	return func(ts *testscript.TestScript, neg bool, args []string) {
		code := runScript(ts, name, args)
		if (code != cli.ExitOK) != neg {
			ts.Fatalf("exit code %d", code)
		}
	}
}

func runScript(ts *testscript.TestScript, name string, args []string) int {
	p := program(strings.NewReader(""), ts.Stdout(), ts.Stderr(), ts.Getenv)
	p.Name = name
	return p.Run(context.Background(), args)
}

// TestProgram runs the program itself: the server as a process, signals, the environment that it prints.
func TestProgram(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata/program", Condition: condition, Cmds: map[string]func(*testscript.TestScript, bool, []string){"scorer": scorer},
	})
}

// runCure has a shell run the lines that the doctor prints below a finding: what somebody would paste.
func runCure(ts *testscript.TestScript, _ bool, args []string) {
	var out strings.Builder
	p := program(strings.NewReader(""), &out, ts.Stderr(), ts.Getenv)
	p.Run(context.Background(), append([]string{"doctor"}, args[1:]...)) // its exit code tells of other findings too
	printed := 0
	for _, finding := range strings.Split(out.String(), "\n\n") {
		if _, name, _ := strings.Cut(finding, " "); !strings.HasPrefix(name, args[0]+": ") {
			continue
		}
		for _, line := range strings.Split(finding, "\n") {
			if line = strings.TrimPrefix(line, "    "); strings.HasPrefix(line, "alvara ") {
				printed++
				ts.Check(ts.Exec("sh", "-c", line))
			}
		}
	}
	if printed == 0 {
		ts.Fatalf("the doctor prints no command for %s:\n%s", args[0], &out)
	}
}
