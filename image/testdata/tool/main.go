// Command tool is the only program in the images that the tests build: a shell with a few commands, without libraries.
package main

import (
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

func main() {
	args := os.Args[1:]
	if len(args) == 2 && args[0] == "-c" {
		for line := range strings.SplitSeq(args[1], "\n") {
			for command := range strings.SplitSeq(line, "&&") {
				if words := strings.Fields(os.ExpandEnv(command)); len(words) > 0 {
					run(words)
				}
			}
		}
		return
	}
	run(args)
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(3)
	}
}

func run(w []string) {
	switch w[0] {
	case "write": // file text…
		check(os.WriteFile(w[1], []byte(strings.Join(w[2:], " ")), 0o644))
	case "cat":
		for _, name := range w[1:] {
			text, err := os.ReadFile(name)
			check(err)
			fmt.Println(string(text))
		}
	case "echo":
		fmt.Println(strings.Join(w[1:], " "))
	case "env":
		env := os.Environ()
		slices.Sort(env)
		fmt.Println(strings.Join(env, "\n"))
	case "find":
		check(filepath.WalkDir(w[1], func(name string, entry fs.DirEntry, err error) error {
			if err != nil || name == "/proc" || name == "/sys" || name == "/dev" {
				return filepath.SkipDir
			}
			info, err := entry.Info()
			if err == nil {
				fmt.Println(name, info.Mode(), info.ModTime().Unix())
			}
			return nil
		}))
	case "mkdir":
		check(os.MkdirAll(w[1], 0o755))
	case "rm":
		check(os.RemoveAll(w[1]))
	case "mv":
		check(os.Rename(w[1], w[2]))
	case "ln":
		check(os.Symlink(w[1], w[2]))
	case "chmod":
		check(os.Chmod(w[2], 0o700))
	case "id":
		fmt.Println(os.Getuid(), os.Getgid())
	case "pwd":
		dir, err := os.Getwd()
		check(err)
		fmt.Println(dir)
	case "processes":
		names, err := filepath.Glob("/proc/[0-9]*")
		check(err)
		fmt.Println("processes", len(names))
	case "sleep":
		time.Sleep(time.Minute)
	case "true":
	case "dial":
		c, err := net.DialTimeout("tcp", w[1], time.Second)
		if err == nil {
			_ = c.Close()
			fmt.Println("connected")
			return
		}
		fmt.Println("not connected:", err)
	case "fail":
		os.Exit(7)
	default:
		check(fmt.Errorf("no command %s", w[0]))
	}
}
