//go:build linux

package sandbox

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/alvara-ml/alvara/resource"
)

// onOwnThread calls f on a thread that nobody else has used or will use, and returns when f does. The thread may change
// its mount namespace, and is the one whose end kills what it started.
func onOwnThread(f func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread()
		if unix.Gettid() == unix.Getpid() {
			// The first thread does not end with its goroutine. It waits here, so the next goroutine has another.
			onOwnThread(f)
			runtime.UnlockOSThread()
			return
		}
		f() // the thread ends with the goroutine, since it stays locked
	}()
	<-done
}

// stagePlaces are folders over which a mount is laid, seen by one thread and what it starts alone.
var stagePlaces = []string{"/mnt", "/media", "/srv", "/opt", "/run", "/var/tmp", "/tmp", "/home"}

// stage gives the calling thread a mount namespace of its own and puts the root file system and the sources of mounts
// where the ids inside can reach them; the folders that they lie in are usually closed to everybody but the server. Nothing
// of it is seen by others, and it ends with the last process in it. It returns the spec with the new places.
func (s Spec) stage() (Spec, error) {
	if err := unix.Unshare(unix.CLONE_FS | unix.CLONE_NEWNS); err != nil {
		return s, unavailable("This process may not have a mount namespace of its own: %v.", err)
	}
	if err := unix.Mount("", "/", "", unix.MS_SLAVE|unix.MS_REC, ""); err != nil {
		return s, unavailable("This process may not mount: %v. A process that is confined by Landlock cannot run sandboxes.", err)
	}
	place, err := s.stagePlace()
	if err != nil {
		return s, err
	}
	layers, err := s.openSources()
	defer layers.close()
	if err != nil {
		return s, err
	}
	if err := unix.Mount("tmpfs", place, "tmpfs", plain, "mode=755,size=1m"); err != nil {
		return s, fmt.Errorf("mount the stage: %w", err)
	}
	root := filepath.Join(place, "root")
	if s.Overlay != nil {
		err = layers.overlay(root)
	} else {
		err = layers.bind(layers.root, root)
	}
	if err != nil {
		return s, err
	}
	s.Root = root
	mounts := make([]Mount, len(s.Mounts))
	copy(mounts, s.Mounts)
	for i, m := range mounts {
		if m.Source == "" {
			continue
		}
		mounts[i].Source = filepath.Join(place, "source"+strconv.Itoa(i))
		if err := layers.bind(layers.sources[i], mounts[i].Source); err != nil {
			return s, err
		}
	}
	s.Mounts = mounts
	return s, nil
}

// stagePlace picks a folder that hides nothing that is needed.
func (s Spec) stagePlace() (string, error) {
	needed := []string{s.State}
	if exe, err := os.Readlink("/proc/self/exe"); err == nil {
		needed = append(needed, exe)
	}
next:
	for _, place := range stagePlaces {
		if info, err := os.Lstat(place); err != nil || !info.IsDir() {
			continue
		}
		for _, path := range needed {
			if path == place || strings.HasPrefix(path, place+"/") {
				continue next
			}
		}
		return place, nil
	}
	return "", unavailable("The sandbox needs one of the folders %s as a place for mounts, and the state folder and the program are in all that exist. Create /mnt.",
		strings.Join(stagePlaces, ", "))
}

// sources are the folders and files that get mounted, opened before a mount can hide them.
type sources struct {
	root        *os.File
	lower       []*os.File
	upper, work *os.File
	sources     []*os.File // as Spec.Mounts; nil for a tmpfs
}

func (s Spec) openSources() (*sources, error) {
	var opened sources
	var firstErr error
	open := func(path string) *os.File {
		fd, err := unix.Open(path, unix.O_PATH|unix.O_CLOEXEC, 0)
		if err != nil {
			if firstErr == nil {
				firstErr = fmt.Errorf("open %s to mount it: %w", path, err)
			}
			return nil
		}
		return os.NewFile(uintptr(fd), path)
	}
	opened.root = open(s.Root)
	if s.Overlay != nil {
		for _, path := range s.Overlay.Lower {
			opened.lower = append(opened.lower, open(path))
		}
		if s.Overlay.Upper != "" {
			opened.upper, opened.work = open(s.Overlay.Upper), open(s.Overlay.Work)
		}
	}
	for _, m := range s.Mounts {
		if m.Source == "" {
			opened.sources = append(opened.sources, nil)
			continue
		}
		opened.sources = append(opened.sources, open(m.Source))
	}
	return &opened, firstErr
}

func (o *sources) close() {
	for _, file := range append(append([]*os.File{o.root, o.upper, o.work}, o.lower...), o.sources...) {
		if file != nil {
			_ = file.Close()
		}
	}
}

// throughFD is a path to an open file, short and without a character that mount options treat in a special way.
func throughFD(file *os.File) string { return "/proc/thread-self/fd/" + strconv.Itoa(int(file.Fd())) }

// bind mounts what is open at a new place; device nodes in it are dead.
func (o *sources) bind(from *os.File, target string) error {
	info, err := os.Stat(throughFD(from))
	if err != nil {
		return err
	}
	if info.IsDir() {
		err = os.Mkdir(target, 0o755)
	} else {
		err = os.WriteFile(target, nil, 0o644)
	}
	if err != nil {
		return err
	}
	if err := unix.Mount(throughFD(from), target, "", unix.MS_BIND|unix.MS_REC, ""); err != nil {
		return fmt.Errorf("mount %s: %w", from.Name(), err)
	}
	err = unix.MountSetattr(unix.AT_FDCWD, target, unix.AT_RECURSIVE, &unix.MountAttr{Attr_set: unix.MOUNT_ATTR_NODEV})
	if err != nil && !errors.Is(err, unix.ENOSYS) { // older kernels have the devices' cgroup alone
		return fmt.Errorf("close device nodes in %s: %w", from.Name(), err)
	}
	return nil
}

// overlay mounts the stack of layers. The upper folder is plain: no renamed folders or metadata that only refer to a lower layer.
func (o *sources) overlay(target string) error {
	if err := os.Mkdir(target, 0o755); err != nil {
		return err
	}
	var options strings.Builder
	separator := "lowerdir="
	for _, layer := range o.lower {
		options.WriteString(separator + throughFD(layer))
		separator = ":"
	}
	flags := uintptr(unix.MS_NODEV)
	switch {
	case o.upper != nil:
		options.WriteString(",upperdir=" + throughFD(o.upper) + ",workdir=" + throughFD(o.work))
	case len(o.lower) == 1: // a single layer alone is no stack
		return o.bindReadOnly(target)
	default:
		flags |= unix.MS_RDONLY
	}
	options.WriteString(",index=off,redirect_dir=off,metacopy=off")
	if options.Len() >= os.Getpagesize() {
		return invalid("Overlay.Lower", "Overlay.Lower has %d layers, more than can be mounted at once; join some of them.", len(o.lower))
	}
	if o.upper != nil {
		// What a crash interrupts is thrown away as a whole, so no file has to be on the disk before the next one.
		if err := unix.Mount("overlay", target, "overlay", flags, options.String()+",volatile"); err == nil {
			return nil
		}
	}
	if err := unix.Mount("overlay", target, "overlay", flags, options.String()); err != nil {
		return unavailable("The layers cannot be mounted: %v. Overlays need root's rights, and Upper and Work on one file system that is no overlay itself.", err)
	}
	return nil
}

func (o *sources) bindReadOnly(target string) error {
	if err := unix.Mount(throughFD(o.lower[0]), target, "", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("mount %s: %w", o.lower[0].Name(), err)
	}
	return unix.Mount("", target, "", unix.MS_REMOUNT|unix.MS_BIND|unix.MS_RDONLY|unix.MS_NODEV, "")
}

func unavailable(format string, args ...any) *resource.Error {
	return resource.Errorf(resource.Unavailable, "SandboxUnavailable", format, args...)
}
