package model

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os/signal"
	"syscall"
	"time"
)

// Argument is the command under which the example's programs run: the program, Argument, train or serve, flags.
const Argument = "example"

// Main runs one of the example's programs, when this program was started for it.
func Main(args []string, env func(string) string, stdout, stderr io.Writer) (status int, ours bool) {
	if len(args) < 3 || args[1] != Argument {
		return 0, false
	}
	run, known := map[string]func([]string, func(string) string, io.Writer) error{"train": trainMain, "serve": serveMain}[args[2]]
	if !known {
		return 0, false
	}
	err := run(args[3:], env, stdout)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return 2, true
	case err != nil:
		fmt.Fprintln(stderr, err)
		return 1, true
	}
	return 0, true
}

func trainMain(args []string, env func(string) string, stdout io.Writer) error {
	var t Training
	flags := flag.NewFlagSet("example train", flag.ContinueOnError)
	flags.StringVar(&t.Data, "data", "train.csv", "training set, a CSV file")
	flags.StringVar(&t.Spec, "spec", "feature_retrieval_spec.yaml", "the features that are in it")
	flags.StringVar(&t.Label, "label", "is_fraud", "column of what is to be predicted")
	flags.IntVar(&t.Epochs, "epochs", 60, "steps of the descent")
	flags.StringVar(&t.Out, "out", "outputs/model", "folder of the model")
	if err := flags.Parse(args); err != nil {
		return err
	}
	t.Metrics = env("ALVARA_METRICS")
	_, err := t.Train(stdout)
	return err
}

// serveMain serves until it is told to end, and lets the requests that it has end.
func serveMain(args []string, env func(string) string, stdout io.Writer) error {
	flags := flag.NewFlagSet("example serve", flag.ContinueOnError)
	port := flags.String("port", env("PORT"), "port to listen at")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *port == "" {
		*port = "5001"
	}
	scorer, err := OpenScorer(env("AZUREML_MODEL_DIR"), env)
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	server := &http.Server{Handler: scorer, ReadHeaderTimeout: 10 * time.Second}
	listener, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", *port))
	if err != nil {
		return err
	}
	fmt.Fprintf(stdout, "serving %d features at %s\n", len(scorer.Model.Features), listener.Addr())
	context.AfterFunc(ctx, func() { _ = server.Shutdown(context.WithoutCancel(ctx)) })
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}
