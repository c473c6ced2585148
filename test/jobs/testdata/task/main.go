// Command task is the only program in the images of the tests' jobs: a static one that says what it sees and leaves things behind. Several
// commands are parted by "then".
package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

func main() {
	args := os.Args[1:]
	for len(args) > 0 {
		end := slices.Index(args, "then")
		if end < 0 {
			end = len(args)
		}
		command, ok := commands[args[0]]
		if !ok {
			fmt.Println("no such command:", args[0])
			os.Exit(99)
		}
		if err := command(args[1:end]); err != nil {
			fmt.Println("error:", err)
			os.Exit(1)
		}
		args = args[min(end+1, len(args)):]
	}
}

var commands = map[string]func([]string) error{
	"say":    func(args []string) error { _, err := fmt.Println(strings.Join(args, " ")); return err },
	"exit":   exit,
	"env":    func(args []string) error { _, err := fmt.Println(args[0] + "=" + os.Getenv(args[0])); return err },
	"cat":    cat,
	"write":  write,
	"sleep":  sleep,
	"term":   term,
	"flood":  flood,
	"rate":   rate,
	"hog":    hog,
	"metric": measure,
	"token":  token,
	"blob":   blob,
}

func exit(args []string) error {
	status, err := strconv.Atoi(args[0])
	if err == nil {
		os.Exit(status)
	}
	return err
}

func cat(args []string) error {
	content, err := os.ReadFile(args[0])
	if err == nil {
		_, err = os.Stdout.Write(append(content, '\n'))
	}
	return err
}

func write(args []string) error {
	if err := os.MkdirAll(filepath.Dir(args[0]), 0o755); err != nil {
		return err
	}
	return os.WriteFile(args[0], []byte(strings.Join(args[1:], " ")), 0o644)
}

func sleep(args []string) error {
	duration, err := time.ParseDuration(args[0])
	fmt.Println("sleeping")
	time.Sleep(duration)
	return err
}

// term waits to be told to end, and ends in its own way.
func term([]string) error {
	told := make(chan os.Signal, 1)
	signal.Notify(told, syscall.SIGTERM)
	fmt.Println("waiting")
	<-told
	fmt.Println("saved")
	os.Exit(0)
	return nil
}

// flood writes so many KiB and a last line.
func flood(args []string) error {
	count, err := strconv.Atoi(args[0])
	block := bytes.Repeat([]byte("0123456789abcde\n"), 64)
	for range count {
		if _, err := os.Stdout.Write(block); err != nil {
			return err
		}
	}
	fmt.Println("the last line")
	return err
}

// rate writes so many KiB a second for some seconds.
func rate(args []string) error {
	count, err := strconv.Atoi(args[0])
	seconds, fault := strconv.Atoi(args[1])
	block := bytes.Repeat([]byte("0123456789abcde\n"), count*64/20)
	for range 20 * seconds {
		if _, err := os.Stdout.Write(block); err != nil {
			return err
		}
		time.Sleep(50 * time.Millisecond)
	}
	return errors.Join(err, fault)
}

func hog([]string) error {
	var all [][]byte
	for {
		block := make([]byte, 16<<20)
		for i := 0; i < len(block); i += 4096 {
			block[i] = 1
		}
		all = append(all, block)
		fmt.Println(len(all)*16, "MiB")
	}
}

// measure writes a metric: its name and its value.
func measure(args []string) error {
	value, err := strconv.ParseFloat(args[1], 64)
	if err != nil {
		return err
	}
	file, err := os.OpenFile(os.Getenv("ALVARA_METRICS"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	return errors.Join(json.NewEncoder(file).Encode(map[string]any{"name": args[0], "value": value}), file.Close())
}

// ask gets a token of the run's identity, for a resource and, when it is not "", as a client id.
func ask(resource, client string) (string, error) {
	endpoint := os.Getenv("IDENTITY_ENDPOINT")
	if endpoint == "" {
		return "", errors.New("there is no identity endpoint")
	}
	query := url.Values{"api-version": {"2019-08-01"}, "resource": {resource}}
	if client != "" {
		query.Set("client_id", client)
	}
	request, err := http.NewRequest("GET", endpoint+"?"+query.Encode(), nil)
	if err != nil {
		return "", err
	}
	request.Header.Set("X-IDENTITY-HEADER", os.Getenv("IDENTITY_HEADER"))
	text, err := answerOf(request)
	if err != nil {
		return "", err
	}
	var set struct {
		Token string `json:"access_token"`
	}
	return set.Token, errors.Join(json.Unmarshal(text, &set))
}

func answerOf(request *http.Request) ([]byte, error) {
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	text, err := io.ReadAll(answer.Body)
	if err = errors.Join(err, answer.Body.Close()); err == nil && answer.StatusCode >= 300 {
		err = fmt.Errorf("%s: %s", answer.Status, text)
	}
	return text, err
}

// token says whose token the job gets: the claims, without the signature.
func token(args []string) error {
	client := ""
	if len(args) > 0 {
		client = args[0]
	}
	text, err := ask("https://storage.azure.com/", client)
	if err != nil {
		return err
	}
	parts := strings.Split(text, ".")
	_, err = fmt.Println("claims", parts[1])
	return err
}

// blob reads a blob by its URL, as the job's identity.
func blob(args []string) error {
	bearer, err := ask("https://storage.azure.com/", "")
	if err != nil {
		return err
	}
	request, err := http.NewRequest("GET", args[0], nil)
	if err != nil {
		return err
	}
	request.Header.Set("Authorization", "Bearer "+bearer)
	request.Header.Set("x-ms-version", "2021-12-02")
	text, err := answerOf(request)
	if err == nil {
		_, err = fmt.Println("blob:", string(text))
	}
	return err
}
