// Command shell is the only program in the images that these tests build upon: a shell with a few commands, one of which looks for
// everything that a build must not see.
package main

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

func main() {
	if len(os.Args) != 3 || os.Args[1] != "-c" {
		os.Exit(2)
	}
	for command := range strings.SplitSeq(os.Args[2], "&&") {
		if words := strings.Fields(os.ExpandEnv(command)); len(words) > 0 {
			run(words)
		}
	}
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(3)
	}
}

func run(words []string) {
	switch words[0] {
	case "write": // file text…
		check(os.WriteFile(words[1], []byte(strings.Join(words[2:], " ")), 0o644))
	case "echo":
		fmt.Println(strings.Join(words[1:], " "))
	case "sleep": // seconds
		seconds, err := strconv.Atoi(words[1])
		check(err)
		time.Sleep(time.Duration(seconds) * time.Second)
	case "fail": // code
		code, err := strconv.Atoi(words[1])
		check(err)
		os.Exit(code)
	case "look": // file with places: files, folders, host:port, URLs
		text, err := os.ReadFile(words[1])
		check(err)
		look(strings.Fields(string(text)))
	default:
		check(fmt.Errorf("no command %s", words[0]))
	}
}

// look prints all that can be seen of the machine.
func look(places []string) {
	fmt.Println("environment", os.Environ())
	processes, err := filepath.Glob("/proc/[0-9]*")
	check(err)
	for _, process := range processes {
		for _, file := range []string{"cmdline", "environ", "maps", "mountinfo"} {
			text, err := os.ReadFile(filepath.Join(process, file))
			fmt.Printf("%s/%s %q %v\n", process, file, text, err)
		}
		for _, link := range []string{"exe", "cwd", "root"} {
			at, err := os.Readlink(filepath.Join(process, link))
			fmt.Println(process, link, at, err)
		}
		open, err := os.ReadDir(filepath.Join(process, "fd"))
		fmt.Println(process, "open", len(open), err)
		for _, file := range open {
			at, _ := os.Readlink(filepath.Join(process, "fd", file.Name()))
			fmt.Println(process, "open", at)
		}
	}
	for _, place := range places {
		switch {
		case strings.HasPrefix(place, "http"):
			client := http.Client{Timeout: time.Second}
			answer, err := client.Get(place)
			if err == nil {
				_ = answer.Body.Close()
				fmt.Println("REACHED", place)
			}
		case strings.Contains(place, ":"):
			connection, err := net.DialTimeout("tcp", place, time.Second)
			if err == nil {
				_ = connection.Close()
				fmt.Println("REACHED", place)
			}
		default:
			if _, err := os.Stat(place); err == nil {
				fmt.Println("REACHED", place)
			}
		}
	}
	devices, err := net.Interfaces()
	for _, device := range devices {
		fmt.Println("network", device.Name, device.Flags, err)
	}
	fmt.Println("looked")
}
