package build

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"

	"github.com/alvara-ml/alvara/image/dockerfile"
	"github.com/alvara-ml/alvara/image/layer"
)

const defaultPath = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// runKey is all that a RUN's layer depends on beside the layers below.
type runKey struct {
	Kind      string
	Args, Env []string
	User, Dir string
	Network   bool
	Mounts    []string
	Epoch     int64
}

func (s *session) run(ctx context.Context, stage *dockerfile.Stage, at *state, step dockerfile.Step, c *instructions.RunCommand) error {
	config := &at.config.Config
	args := step.Run
	if c.PrependShell {
		args = append(shell(config), strings.Join(step.Run, " "))
	}
	if len(args) == 0 || args[0] == "" {
		return failed(step, "RUN names no command")
	}
	env := slices.Clone(config.Env)
	if !slices.ContainsFunc(env, func(pair string) bool { return strings.HasPrefix(pair, "PATH=") }) {
		env = append(env, defaultPath)
	}
	env = append(env, step.Env...)
	network := s.Network && instructions.GetNetwork(c) != instructions.NetworkNone
	mounts, identities, err := s.mounts(ctx, stage, at, step, c)
	if err != nil {
		return err
	}
	dir := config.WorkingDir
	if dir == "" {
		dir = "/"
	}
	key := runKey{Kind: "run", Args: args, Env: env, User: config.User, Dir: dir, Network: network, Mounts: identities, Epoch: s.Epoch.Unix()}
	createdBy := "RUN "
	if len(step.Shown) > 0 {
		createdBy += fmt.Sprintf("|%d %s ", len(step.Shown), strings.Join(step.Shown, " "))
	}
	createdBy += strings.Join(args, " ")
	return s.change(ctx, at, key, createdBy, func(upper, work string, below []string) error {
		for _, mount := range mounts {
			if mount.prepare != nil {
				remove, err := mount.prepare()
				if err != nil {
					return err
				}
				defer remove()
			}
		}
		command := Command{Args: args, Env: append(slices.Clone(env), step.Hidden...), Dir: dir, User: config.User, Network: network,
			MemoryBytes: s.Limits.MemoryBytes, CPUs: s.Limits.CPUs, Processes: s.Limits.Processes}
		for _, mount := range mounts {
			command.Mounts = append(command.Mounts, *mount.Mount)
		}
		out := &lines{to: func(line string) { s.log("%s", line) }}
		command.Stdout, command.Stderr = out, out
		code, err := s.inRoot(ctx, command, upper, work, below)
		out.flush()
		if err != nil {
			return err
		}
		if code != 0 {
			return failed(step, "the command '%s' returned a non-zero code: %d", strings.Join(args, " "), code)
		}
		return nil
	})
}

// inRoot runs a command on the layers below, with its changes in upper.
func (s *session) inRoot(ctx context.Context, c Command, upper, work string, below []string) (int, error) {
	if !s.Overlay {
		return s.inCopy(ctx, c, upper, below)
	}
	stack, err := layer.OpenStack(s.Store.Owners, below)
	if err != nil {
		return 0, err
	}
	defer stack.Close()
	root, remove, err := s.Store.Temp()
	if err != nil {
		return 0, err
	}
	defer remove()
	changes, err := layer.Begin(s.Store.Owners, upper, below) // the root folder's own attributes
	if err != nil {
		return 0, err
	}
	changes.Close()
	c.Root, c.Upper, c.Work = root, upper, work
	c.Lower = slices.Clone(below)
	slices.Reverse(c.Lower)
	if len(c.Lower) == 0 {
		empty, removeEmpty, err := s.Store.Temp()
		if err != nil {
			return 0, err
		}
		defer removeEmpty()
		c.Lower = []string{empty}
	}
	code, err := s.Runner.Run(ctx, c)
	if err != nil || code != 0 {
		return code, err
	}
	return 0, tidy(upper, stack, mountPoints(c))
}

// mountPoints are the names that a Runner may make to mount something there.
func mountPoints(c Command) []string {
	points := []string{"proc", "sys", "dev", "etc/resolv.conf", "etc/hosts", "etc/hostname"}
	for _, mount := range c.Mounts {
		points = append(points, strings.TrimPrefix(path.Clean(mount.Target), "/"))
	}
	return points
}

// tidy removes empty mount points that were not there before, so that they are no part of the image.
func tidy(upper string, before layer.Tree, points []string) error {
	root, err := os.OpenRoot(upper)
	if err != nil {
		return err
	}
	defer root.Close()
	for _, point := range points {
		for name := point; name != "."; name = path.Dir(name) {
			if _, err := before.Lstat(name); err == nil {
				break
			}
			info, err := root.Lstat(name)
			if err != nil || !info.IsDir() && info.Size() > 0 || info.Mode().Type()&^fs.ModeDir != 0 {
				break
			}
			if root.Remove(name) != nil { // not empty: the command's own
				break
			}
		}
	}
	return nil
}

// mountPlan is a mount with what has to be done before.
type mountPlan struct {
	*Mount
	prepare func() (remove func(), err error)
}

// mounts reads --mount. identities say what the layer depends on.
func (s *session) mounts(ctx context.Context, stage *dockerfile.Stage, at *state, step dockerfile.Step, c *instructions.RunCommand) (plans []mountPlan, identities []string, err error) {
	for _, m := range instructions.GetMounts(c) {
		target := inside(at.config, m.Target)
		if m.Target == "" || target == "/" {
			return nil, nil, failed(step, "--mount needs a target below /")
		}
		plan := mountPlan{Mount: &Mount{Target: target, Writable: !m.ReadOnly}}
		identity := fmt.Sprintf("%s %q", m.Type, target)
		switch m.Type {
		case instructions.MountTypeTmpfs:
			plan.Size = m.SizeLimit
		case instructions.MountTypeCache:
			if m.From != "" {
				return nil, nil, failed(step, "--mount=type=cache with from= is not supported; let the command fill the cache")
			}
			id := m.CacheID
			if id == "" {
				id = target
			}
			folder, err := s.Cache.mount(id)
			if err != nil {
				return nil, nil, err
			}
			mode := fs.FileMode(0o755)
			if m.Mode != nil {
				mode = fs.FileMode(*m.Mode) & fs.ModePerm
			}
			uid, gid := number(m.UID), number(m.GID)
			plan.Source = filepath.Join(folder, "fs")
			plan.prepare = func() (func(), error) {
				return s.cacheMount(ctx, folder, layer.Attributes{Mode: mode, UID: uid, GID: gid})
			}
		default:
			sum, err := s.bind(ctx, stage, step, m, &plan)
			if err != nil {
				return nil, nil, err
			}
			identity += " " + sum
		}
		plans, identities = append(plans, plan), append(identities, identity)
	}
	return plans, identities, nil
}

func number(n *uint64) int {
	if n == nil {
		return 0
	}
	return int(*n)
}

// bind prepares a copy of what is mounted: the command may write to it, and nobody else sees that.
func (s *session) bind(ctx context.Context, stage *dockerfile.Stage, step dockerfile.Step, m *instructions.Mount, plan *mountPlan) (sum string, err error) {
	from, err := s.tree(ctx, stage, m.From)
	if err != nil {
		return "", err
	}
	defer from.close()
	name, err := layer.Resolve(from, m.Source, true)
	if err == nil {
		_, err = from.Lstat(name)
	}
	if err != nil {
		return "", failed(step, "--mount: %s has no %s", from.title, m.Source)
	}
	if sum, err = sumOf(ctx, from, name, func(string) bool { return false }); err != nil {
		return "", err
	}
	plan.prepare = func() (func(), error) {
		again, err := s.tree(ctx, stage, m.From)
		if err != nil {
			return nil, err
		}
		defer again.close()
		folder, _, remove, err := s.Store.Fresh()
		if err != nil {
			return nil, err
		}
		changes, err := layer.Begin(s.Store.Owners, folder, nil)
		if err == nil {
			err = copyTree(ctx, again, name, changes, "content")
			changes.Close()
		}
		if err != nil {
			remove()
			return nil, err
		}
		plan.Source = filepath.Join(folder, "content")
		return remove, nil
	}
	return sum, nil
}

// lines cuts a stream into lines.
type lines struct {
	mu   sync.Mutex
	part []byte
	to   func(line string)
}

const longestLine = 64 << 10

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.part = append(l.part, p...)
	for {
		line, rest, whole := bytes.Cut(l.part, []byte("\n"))
		if !whole {
			if len(l.part) < longestLine {
				return len(p), nil
			}
			line, rest = l.part, nil
		}
		l.to(strings.TrimSuffix(strings.ToValidUTF8(string(line), "�"), "\r"))
		l.part = append([]byte(nil), rest...)
	}
}

func (l *lines) flush() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.part) > 0 {
		l.to(strings.ToValidUTF8(string(l.part), "�"))
		l.part = nil
	}
}

// cacheMount makes a cache's folder and keeps other builds out of it while a command uses it.
func (s *session) cacheMount(ctx context.Context, folder string, a layer.Attributes) (func(), error) {
	unlock, err := lockFile(ctx, folder+".lock")
	if err != nil {
		return nil, err
	}
	files := filepath.Join(folder, "fs")
	if _, err := os.Lstat(files); errors.Is(err, fs.ErrNotExist) {
		changes, err := layer.Begin(s.Store.Owners, folder, nil)
		if err == nil {
			err = changes.Folder("fs", a)
			changes.Close()
		}
		if err != nil {
			unlock()
			return nil, err
		}
	}
	return unlock, nil
}
