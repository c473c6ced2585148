// Command probe is what the tests run inside: a static program that looks around, tries what is forbidden and takes too much.
package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

func main() {
	if filepath.Base(os.Args[0]) == "true" {
		return
	}
	name, args := os.Args[1], os.Args[2:]
	command, ok := commands[name]
	if !ok {
		fmt.Fprintln(os.Stderr, "no such command:", name)
		os.Exit(99)
	}
	if err := command(args); err != nil {
		fmt.Println("error:", err)
		os.Exit(1)
	}
}

var commands = map[string]func([]string) error{
	"true":   func([]string) error { return nil },
	"exit":   func(args []string) error { os.Exit(number(args[0])); return nil },
	"id":     id,
	"env":    func([]string) error { _, err := fmt.Println(strings.Join(os.Environ(), "\n")); return err },
	"pwd":    func([]string) error { dir, err := os.Getwd(); fmt.Println(dir); return err },
	"args":   func(args []string) error { _, err := fmt.Printf("%q\n", args); return err },
	"host":   func([]string) error { name, err := os.Hostname(); fmt.Println(name); return err },
	"cat":    cat,
	"copy":   func([]string) error { _, err := io.Copy(os.Stdout, os.Stdin); return err },
	"write":  func(args []string) error { return os.WriteFile(args[0], []byte(args[1]), 0o644) },
	"ls":     list,
	"both":   both,
	"answer": answer,
	"signal": func(args []string) error { return die(syscall.Signal(number(args[0]))) },
	"ignore": func([]string) error {
		signal.Ignore(syscall.SIGTERM)
		fmt.Println("ignoring")
		return sleep([]string{"1h"})
	},
	"sleep":   sleep,
	"term":    term,
	"hog":     hog,
	"bomb":    bomb,
	"spin":    spin,
	"flood":   flood,
	"zombies": zombies,
	"orphan":  orphan,
	"forbid":  forbid,
	"dial":    dial,
	"echo":    loopback,
	"chown":   func(args []string) error { return os.Chown(args[0], number(args[1]), number(args[2])) },
	"kill":    func(args []string) error { return syscall.Kill(number(args[0]), syscall.SIGKILL) },
	"stdout":  func([]string) error { return os.WriteFile("/dev/stdout", []byte("opened again\n"), 0o600) },
}

func number(s string) int {
	n, err := strconv.Atoi(s)
	if err != nil {
		panic(err)
	}
	return n
}

func id([]string) error {
	groups, err := os.Getgroups()
	slices.Sort(groups)
	fmt.Printf("%d:%d %v\n", os.Getuid(), os.Getgid(), groups)
	return err
}

func cat(args []string) error {
	content, err := os.ReadFile(args[0])
	if err == nil {
		_, err = os.Stdout.Write(content)
	}
	return err
}

func list(args []string) error {
	entries, err := os.ReadDir(args[0])
	for _, entry := range entries {
		fmt.Println(entry.Name())
	}
	return err
}

func both([]string) error {
	for i := range 3 {
		fmt.Println("out", i)
		fmt.Fprintln(os.Stderr, "err", i)
	}
	return nil
}

func die(s syscall.Signal) error {
	signal.Reset(s)
	if err := syscall.Kill(os.Getpid(), s); err != nil {
		return err
	}
	time.Sleep(time.Minute)
	return errors.New("the signal did nothing")
}

func sleep(args []string) error {
	d, err := time.ParseDuration(args[0])
	fmt.Println("sleeping")
	time.Sleep(d)
	return err
}

// term ends in its own way when it is asked to.
func term([]string) error {
	asked := make(chan os.Signal, 1)
	signal.Notify(asked, syscall.SIGTERM)
	fmt.Println("sleeping")
	<-asked
	fmt.Println("saved")
	os.Exit(42)
	return nil
}

func hog(args []string) error {
	var kept [][]byte
	for range number(args[0]) {
		block := make([]byte, 1<<20)
		for i := 0; i < len(block); i += 4096 {
			block[i] = 1
		}
		kept = append(kept, block)
	}
	fmt.Println("took", len(kept), "MiB")
	return nil
}

// bomb starts as many processes as it can.
func bomb(args []string) error {
	started := 0
	for range number(args[0]) {
		if err := exec.Command("/proc/self/exe", "sleep", "1h").Start(); err != nil {
			fmt.Println("started", started)
			return nil
		}
		started++
	}
	return fmt.Errorf("nothing stopped it at %d", started)
}

func spin(args []string) error {
	d, err := time.ParseDuration(args[0])
	for end := time.Now().Add(d); time.Now().Before(end); {
	}
	return err
}

func flood(args []string) error {
	out := bufio.NewWriterSize(os.Stdout, 64<<10)
	line := strings.Repeat("x", 1023) + "\n"
	for range number(args[0]) {
		if _, err := out.WriteString(line); err != nil {
			return err
		}
	}
	return out.Flush()
}

// zombies leaves orphans behind that end, and counts those that nobody collected.
func zombies([]string) error {
	for range 20 {
		if err := exec.Command("/proc/self/exe", "orphan", "10ms").Run(); err != nil {
			return err
		}
	}
	for range 100 {
		time.Sleep(20 * time.Millisecond)
		left := 0
		stats, _ := filepath.Glob("/proc/[0-9]*/stat")
		for _, path := range stats {
			if stat, err := os.ReadFile(path); err == nil && strings.Contains(string(stat), ") Z ") {
				left++
			}
		}
		if left == 0 && len(stats) == 2 {
			fmt.Println("none left")
			return nil
		}
	}
	return errors.New("some were never collected")
}

func orphan(args []string) error {
	return exec.Command("/proc/self/exe", "sleep", args[0]).Start()
}

func dial(args []string) error {
	conn, err := net.DialTimeout(args[0], args[1], 2*time.Second)
	if err != nil {
		return err
	}
	fmt.Println("connected")
	return conn.Close()
}

// answer says what it hears to the first who connects to a port.
func answer(args []string) error {
	listener, err := net.Listen("tcp", "127.0.0.1:"+args[0])
	if err != nil {
		return err
	}
	fmt.Println("listening")
	conn, err := listener.Accept()
	if err != nil {
		return err
	}
	_, err = io.Copy(conn, conn)
	return errors.Join(err, conn.Close())
}

// loopback speaks with itself over the sandbox's own loopback.
func loopback([]string) error {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	go func() {
		if conn, err := listener.Accept(); err == nil {
			_, _ = io.WriteString(conn, "hello\n")
			_ = conn.Close()
		}
	}()
	conn, err := net.Dial("tcp", listener.Addr().String())
	if err == nil {
		_, err = io.Copy(os.Stdout, conn)
	}
	return err
}
