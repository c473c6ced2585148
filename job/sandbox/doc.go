// Package sandbox runs one command in a root file system, apart from the machine that it runs on. It owns the walls
// (namespaces, user mapping, capabilities, system call filter, devices, limits), the life of what it starts, and the
// removal of what that leaves. Where root file systems come from, what a command is for and as whom it acts, is its users' affair.
//
// A program that calls Run is started again as the first process inside. That is handled when this package is initialized, before
// main and before most other packages, so a large program costs little more than a small one. A main, or a TestMain, may still begin
// with the two lines
//
//	if sandbox.IsInit(os.Args) {
//		sandbox.Main()
//	}
//
// which say so to the reader, and must not take "init" as its own only argument.
//
// The program's file is shown to that process through a read-only overlay, so nobody inside can change it. That takes root's
// rights, and a State that is not below the folder of the program's file; otherwise the file is copied into memory for each
// command, which takes as long as its size demands.
//
// # The walls
//
// The command has its own user, mount, process, IPC, host name, cgroup and, unless the spec says otherwise, network
// namespace; the capabilities that containers usually have, within that user namespace alone; no way to gain more
// (no_new_privs); a list of allowed system calls (filter.go); a /dev of six harmless devices and its own terminals; /proc and /sys with
// their sensitive parts hidden or read-only; and limits of memory, processes, CPU and time (Limits).
//
// # Who owns the files
//
// Ids inside are shifted outside: with root's rights, 0…65535 inside are FirstID…FirstID+65535 outside, a fixed range
// that belongs to no account, so a process that got out would own nothing. A root file system has the shifted owners on
// disk (Mapping.UID, Mapping.GID). An ordinary user has a single id to give away: 0 inside is the user, and there are no others.
//
// # The life of a command
//
// Process 1 inside is a small reaper (reaper.c) that starts the command, passes signals on to it, and ends with it; with process 1 the
// kernel ends every process of the container. Run returns when all of them are gone. The end of the context or of the
// time limit sends SIGTERM to the command and, after Grace, SIGKILL to everything; the death of the program that
// called Run sends SIGKILL to everything. What such a death leaves in the state folder is removed by Sweep.
//
// # What does not work inside
//
// New namespaces, mounts, ptrace, io_uring, BPF, performance counters, kernel keyrings, setuid programs' extra rights, and the
// creation of device nodes; in short what containers commonly lack. A process that is confined by Landlock cannot call Run, since
// Landlock forbids mounts to whom it confines and to their children.
package sandbox
