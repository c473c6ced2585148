// Command probe is what the runs of the tests run: a static program that does steps, separated by "+", and says what it sees.
package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

func main() {
	failed := false
	for step := range strings.SplitSeq(strings.Join(os.Args[1:], "\x00"), "\x00+\x00") {
		words := strings.Split(step, "\x00")
		if err := commands[words[0]](words[1:]); err != nil {
			fmt.Println("error:", err)
			failed = true
		}
	}
	if failed {
		os.Exit(1)
	}
}

var commands = map[string]func([]string) error{
	"say":   func(args []string) error { _, err := fmt.Println(strings.Join(args, " ")); return err },
	"env":   func([]string) error { _, err := fmt.Println(strings.Join(os.Environ(), "\n")); return err },
	"id":    func([]string) error { _, err := fmt.Println("id", os.Getuid()); return err },
	"pwd":   func([]string) error { dir, err := os.Getwd(); fmt.Println(dir); return err },
	"cat":   cat,
	"write": write,
	"list":  list,
	"link":  func(args []string) error { return os.Symlink(args[0], args[1]) },
	"swap":  func(args []string) error { return errors.Join(os.RemoveAll(args[1]), os.Symlink(args[0], args[1])) },
	"fifo":  func(args []string) error { return errors.Join(os.RemoveAll(args[0]), syscall.Mkfifo(args[0], 0o666)) },
	"mode":  func(args []string) error { return os.Chmod(args[0], fs.FileMode(number(args[1]))) },
	"many":  many,
	"deep":  deep,
	"token": token,
	"get":   get,
	"serve": serve,
	"sleep": func([]string) error { fmt.Println("sleeping"); time.Sleep(time.Hour); return nil },
	// named resolves a name as its users do.
	"named": func(args []string) error { found, err := net.LookupHost(args[0]); fmt.Println(found); return err },
}

func number(text string) int {
	n, err := strconv.ParseInt(text, 0, 32)
	if err != nil {
		panic(err)
	}
	return int(n)
}

func cat(args []string) error {
	content, err := os.ReadFile(args[0])
	if err == nil {
		fmt.Printf("%s\n", content)
	}
	return err
}

func write(args []string) error {
	if err := os.MkdirAll(filepath.Dir(args[0]), 0o755); err != nil {
		return err
	}
	file, err := os.OpenFile(args[0], os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	_, err = io.WriteString(file, args[1])
	return errors.Join(err, file.Close())
}

func list(args []string) error {
	return filepath.WalkDir(args[0], func(path string, _ fs.DirEntry, err error) error {
		fmt.Println(path)
		return err
	})
}

func many(args []string) error {
	for i := range number(args[1]) {
		if err := os.WriteFile(filepath.Join(args[0], fmt.Sprintf("file-%06d", i)), nil, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// deep makes folders in folders, and takes the right to look at the last one.
func deep(args []string) error {
	if err := os.Chdir(args[0]); err != nil {
		return err
	}
	for range number(args[1]) {
		if err := os.Mkdir("down", 0o755); err != nil {
			return err
		}
		if err := os.Chdir("down"); err != nil {
			return err
		}
	}
	return errors.Join(os.WriteFile("bottom", []byte("x"), 0o644), os.Mkdir("closed", 0), os.Chdir("/"))
}

// token asks for a token with the run's own secret, or another one.
func token(args []string) error {
	request, err := http.NewRequest(http.MethodGet, os.Getenv("IDENTITY_ENDPOINT")+"?api-version=2019-08-01&resource=https://management.azure.com/", nil)
	if err != nil {
		return err
	}
	request.Header.Set("X-IDENTITY-HEADER", os.Getenv("IDENTITY_HEADER"))
	if len(args) > 0 {
		request.Header.Set("X-IDENTITY-HEADER", args[0])
	}
	answer, err := (&http.Client{Timeout: 10 * time.Second}).Do(request)
	if err != nil {
		return err
	}
	defer func() { _ = answer.Body.Close() }()
	text, err := io.ReadAll(answer.Body)
	fmt.Printf("token %d %s\n", answer.StatusCode, text)
	return err
}

func get(args []string) error {
	conn, err := net.DialTimeout("tcp", args[0], 2*time.Second)
	if err != nil {
		return err
	}
	heard, err := io.ReadAll(conn)
	fmt.Printf("heard %s\n", heard)
	return errors.Join(err, conn.Close())
}

// serve tells everybody a word at a port, or at PORT.
func serve(args []string) error {
	port := args[1]
	if told := os.Getenv("PORT"); told != "" {
		port = told
	}
	fmt.Println("serving")
	return http.ListenAndServe("127.0.0.1:"+port, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = fmt.Fprintf(w, "%s at %s", args[0], r.URL.Path)
	}))
}
