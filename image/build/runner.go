// Package build carries out the plan of a Dockerfile: it decides which stages are needed, looks each step up in the cache
// or does it, and puts the image together so that the same input gives the same digest. Registries are behind Source,
// commands behind Runner, file systems in package layer.
package build

import (
	"context"
	"io"
	"time"
)

// Runner runs one command of a RUN instruction in a root file system. The command sees that root, and nothing of the
// machine's files, processes, or of the caller's environment. It may be called concurrently.
type Runner interface {
	// Run returns the command's exit code. An error says that it could not be run, or was ended: a *resource.Error of
	// kind Invalid where the Dockerfile is at fault (no such program, no such user), TooLarge for a limit.
	Run(ctx context.Context, c Command) (code int, err error)
}

// Command is what a Runner runs.
type Command struct {
	// Root is the root file system, writable, on this machine; absolute. With Lower it is an empty folder, and the root is
	// the layers of Lower (the topmost first) with Upper taking the changes and Work as overlays need it.
	Root        string
	Lower       []string
	Upper, Work string

	Args    []string // the program and its arguments; looked up in the PATH of Env below Root
	Env     []string // the whole environment
	Dir     string   // working folder below Root; exists
	User    string   // user[:group], names or numbers, as the image's own files have them; "" is root
	Network bool
	Mounts  []Mount

	MemoryBytes int64
	CPUs        float64
	Processes   int64
	Time        time.Duration // 0: none of its own

	Stdout, Stderr io.Writer
}

// Mount is a folder or file that the command sees at Target. Without Source it is an empty one in memory.
type Mount struct {
	Source   string // on this machine; absolute
	Target   string // below Root; absolute
	Writable bool
	Size     int64 // bytes of one in memory; 0 leaves it to the Runner
}
