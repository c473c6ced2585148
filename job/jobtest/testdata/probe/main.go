// Command probe is what the runs of the tests run: a static program that says what it sees, and misbehaves.
package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"
)

func main() {
	command, ok := commands[os.Args[1]]
	if !ok {
		fmt.Println("no such command:", os.Args[1])
		os.Exit(99)
	}
	if err := command(os.Args[2:]); err != nil {
		fmt.Println("error:", err)
		os.Exit(1)
	}
}

var commands = map[string]func([]string) error{
	"say":    func(args []string) error { _, err := fmt.Println(strings.Join(args, " ")); return err },
	"exit":   func(args []string) error { os.Exit(number(args[0])); return nil },
	"env":    func([]string) error { _, err := fmt.Println(strings.Join(os.Environ(), "\n")); return err },
	"pwd":    func([]string) error { dir, err := os.Getwd(); fmt.Println(dir); return err },
	"cat":    cat,
	"write":  func(args []string) error { return os.WriteFile(args[0], []byte(args[1]), 0o644) },
	"append": add,
	"signal": func(args []string) error { return die(syscall.Signal(number(args[0]))) },
	"sleep":  sleep,
	"ignore": func([]string) error { signal.Ignore(syscall.SIGTERM); return sleep([]string{"1h"}) },
	"term":   term,
	"orphan": orphan,
	"flood":  flood,
	"rate":   rate,
	"hog":    hog,
	"bomb":   bomb,
	"zombie": zombies,
	"fill":   fill,
	"get":    get,
	"serve":  serve,
	"meet":   meet,
	"fail":   fail,
}

func number(s string) int {
	n, err := strconv.Atoi(s)
	if err != nil {
		panic(err)
	}
	return n
}

func cat(args []string) error {
	content, err := os.ReadFile(args[0])
	if err == nil {
		_, err = os.Stdout.Write(content)
	}
	return err
}

// add appends a line, says so, and sleeps.
func add(args []string) error {
	file, err := os.OpenFile(args[0], os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	if _, err := fmt.Fprintln(file, "begun"); err != nil {
		return err
	}
	return errors.Join(file.Close(), sleep(args[1:]))
}

func die(s syscall.Signal) error {
	return errors.Join(syscall.Kill(os.Getpid(), s), sleep([]string{"1h"}))
}

func sleep(args []string) error {
	duration, err := time.ParseDuration(args[0])
	fmt.Println("sleeping")
	time.Sleep(duration)
	return err
}

// term ends in its own way when it is told to.
func term([]string) error {
	told := make(chan os.Signal, 1)
	signal.Notify(told, syscall.SIGTERM)
	fmt.Println("waiting")
	<-told
	fmt.Println("saved")
	os.Exit(42)
	return nil
}

// orphan leaves a process behind that is in no group of its own parent's and ignores what it can.
func orphan(args []string) error {
	left := exec.Command("/proc/self/exe", "ignore")
	left.Args = append(left.Args, args...)
	left.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	left.Stdout = os.Stdout
	if err := left.Start(); err != nil {
		return err
	}
	_, err := fmt.Println("left", left.Process.Pid)
	return err
}

// flood writes so many KiB as fast as it goes, and a last line.
func flood(args []string) error {
	block := bytes.Repeat([]byte("0123456789abcde\n"), 4<<10) // 64 KiB
	for rest := number(args[0]) << 10; rest > 0; rest -= len(block) {
		if _, err := os.Stdout.Write(block[:min(rest, len(block))]); err != nil {
			return err
		}
	}
	_, err := fmt.Println("the last line")
	return err
}

// rate writes so many KiB per second for some seconds.
func rate(args []string) error {
	block := bytes.Repeat([]byte("0123456789abcde\n"), number(args[0])*64/20)
	for range 20 * number(args[1]) {
		if _, err := os.Stdout.Write(block); err != nil {
			return err
		}
		time.Sleep(50 * time.Millisecond)
	}
	return nil
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

// bomb starts itself again and again.
func bomb([]string) error {
	for {
		child := exec.Command("/proc/self/exe", "bomb")
		if err := child.Start(); err != nil {
			time.Sleep(time.Millisecond)
		}
	}
}

// zombies makes processes whose end nobody asks for.
func zombies(args []string) error {
	made := 0
	for range number(args[0]) {
		if err := exec.Command("/proc/self/exe", "exit", "0").Start(); err == nil {
			made++
		}
	}
	_, err := fmt.Println("made", made)
	return err
}

// fill writes to a file until the disk is full, and goes on.
func fill(args []string) error {
	file, err := os.Create(args[0])
	if err != nil {
		return err
	}
	for {
		if _, err := file.Write(make([]byte, 1<<20)); err != nil {
			fmt.Println("full:", errors.Is(err, syscall.ENOSPC))
			return nil
		}
	}
}

// get sends the second argument to an address, and prints what comes back.
func get(args []string) error {
	conn, err := net.DialTimeout("tcp", args[0], 2*time.Second)
	if err != nil {
		return err
	}
	if _, err := io.WriteString(conn, args[1]); err != nil {
		return err
	}
	if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
		return err
	}
	_, err = io.Copy(os.Stdout, conn)
	return err
}

// serve answers everybody at a port, or at PORT, with a word and what it heard.
func serve(args []string) error {
	port := args[1]
	if told := os.Getenv("PORT"); told != "" {
		port = told
	}
	listener, err := net.Listen("tcp", "127.0.0.1:"+port)
	if err != nil {
		return err
	}
	fmt.Println("serving")
	for {
		conn, err := listener.Accept()
		if err != nil {
			return err
		}
		heard, err := io.ReadAll(conn)
		if err == nil {
			_, err = fmt.Fprintf(conn, "%s heard %s", args[0], heard)
		}
		if err := errors.Join(err, conn.Close()); err != nil {
			fmt.Println(err)
		}
	}
}

// meet has the node of rank 0 hear from all the others.
func meet([]string) error {
	address := net.JoinHostPort(os.Getenv("MASTER_ADDR"), os.Getenv("MASTER_PORT"))
	others := number(os.Getenv("WORLD_SIZE")) - 1
	if os.Getenv("RANK") != "0" {
		for range 100 {
			if conn, err := net.Dial("tcp", address); err == nil {
				_, err = fmt.Fprintf(conn, "node %s", os.Getenv("NODE_RANK"))
				return errors.Join(err, conn.Close())
			}
			time.Sleep(50 * time.Millisecond)
		}
		return errors.New("the node of rank 0 is not there")
	}
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	for range others {
		conn, err := listener.Accept()
		if err != nil {
			return err
		}
		said, err := io.ReadAll(conn)
		if err != nil {
			return err
		}
		fmt.Printf("%s is here\n", said)
	}
	return nil
}

// fail fails with a code on one node; the others wait for ever.
func fail(args []string) error {
	if os.Getenv("RANK") == args[0] {
		os.Exit(number(args[1]))
	}
	return sleep([]string{"1h"})
}
