package launch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"unicode/utf8"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"github.com/alvara-ml/alvara/identity"
	"github.com/alvara-ml/alvara/image/layer"
	"github.com/alvara-ml/alvara/resource"
	"github.com/alvara-ml/alvara/workload"
)

// atOnce is how many files of an order are read or written at once.
const atOnce = 8

// bring reads code and inputs, each as whom the order says.
func (l *Launcher) bring(ctx context.Context, order workload.Order, at place, tell func(string)) error {
	code, err := l.tree(at.outside.code)
	if err != nil {
		return err
	}
	defer code.close()
	code.open, code.owners = true, l.owners()
	for _, file := range order.Code {
		to := file.Name
		if !file.Folder && to == "" {
			to = path.Base("/" + file.Path)
		}
		if err := l.fetch(ctx, order, file, code, to, "the code", tell); err != nil {
			return err
		}
	}
	if err := code.folder(outputsName); err != nil && !errors.Is(err, fs.ErrExist) { // a file of the code may have the name
		return err
	}
	// An output that is a folder is there from the start, as it is where folders are mounted.
	outputs, err := l.tree(at.outside.outputs)
	if err != nil {
		return err
	}
	defer outputs.close()
	outputs.open, outputs.owners = true, l.owners()
	for _, file := range order.Outputs {
		if !file.Folder {
			continue
		}
		if err := outputs.folder(file.Name); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
	}
	inputs, err := l.tree(at.outside.inputs)
	if err != nil {
		return err
	}
	defer inputs.close()
	for _, file := range order.Inputs {
		to := file.Name
		if !file.Folder {
			to = path.Join(fileFolder(file.Name), path.Base("/"+file.Path))
			if err := inputs.root.Symlink(to, file.Name); err != nil {
				return err
			}
		}
		if err := l.fetch(ctx, order, file, inputs, to, "the input "+file.Name, tell); err != nil {
			return err
		}
	}
	return nil
}

// fetch reads a file or a folder into a tree, where it is called to.
func (l *Launcher) fetch(ctx context.Context, order workload.Order, file workload.File, into *tree, to, what string, tell func(string)) error {
	who := order.Who
	if file.Who != nil {
		who = *file.Who
	}
	into.begin(what)
	var err error
	if file.Folder {
		err = l.fetchFolder(ctx, who, file, into, to)
	} else {
		err = l.fetchFile(ctx, who, file, strings.Trim(file.Path, "/"), into, to)
	}
	if err != nil {
		return because(err, fmt.Sprintf("read %s from %s in %s", what, address(file), file.Account))
	}
	tell(fmt.Sprintf("Read %s: %s from %s in %s, as %s.", what, amount(int(into.files.Load()), into.bytes.Load()), address(file), file.Account, called(who)))
	return nil
}

func (l *Launcher) fetchFolder(ctx context.Context, who identity.Principal, file workload.File, into *tree, to string) error {
	folder := strings.Trim(file.Path, "/")
	if err := into.folder(to); err != nil {
		return err
	}
	group, reading := errgroup.WithContext(ctx)
	group.SetLimit(atOnce)
	listed := l.Files.List(reading, who, file.Account, file.Container, folder, func(name string, _ int64) error {
		below, ok := name, true
		if folder != "" {
			below, ok = strings.CutPrefix(name, folder+"/")
		}
		if !ok || below == "" {
			return nil
		}
		if err := checkBelow(below); err != nil {
			return err
		}
		group.Go(func() error { return l.fetchFile(reading, who, file, name, into, path.Join(to, below)) })
		return reading.Err()
	})
	if err := group.Wait(); err != nil {
		return err
	}
	if listed == nil && into.files.Load() == 0 && folder != "" {
		return resource.NotFoundf("FolderNotFound", "There are no files below %s in the storage account %s.", address(file), file.Account)
	}
	return listed
}

func (l *Launcher) fetchFile(ctx context.Context, who identity.Principal, file workload.File, name string, into *tree, to string) error {
	content, _, err := l.Files.Open(ctx, who, file.Account, file.Container, name)
	if err != nil {
		return err
	}
	defer func() { _ = content.Close() }() // only read
	return into.file(to, content)
}

// checkBelow refuses names of files that are no paths below a folder.
func checkBelow(name string) error {
	bad := !utf8.ValidString(name) || strings.ContainsRune(name, 0)
	for part := range strings.SplitSeq(name, "/") {
		bad = bad || part == "" || part == "." || part == ".." || len(part) > 255
	}
	if bad {
		return resource.Invalidf("InvalidFileName", "The file %q cannot be laid out in a folder: every part of its name must be 1 to 255 bytes and neither '.' nor '..'. Rename it, or leave it out.", name)
	}
	return nil
}

// tree is a folder that is filled with files. Nothing gets out of it.
type tree struct {
	root   *os.Root
	open   bool // everybody inside may write
	owners layer.Owners
	limits Limits
	what   string // is brought, for messages
	files  atomic.Int64
	bytes  atomic.Int64

	mu   sync.Mutex
	made map[string]bool // folders
}

func (l *Launcher) tree(folder string) (*tree, error) {
	root, err := os.OpenRoot(folder)
	if err != nil {
		return nil, err
	}
	return &tree{root: root, limits: l.Limits.withDefaults(), made: map[string]bool{".": true}}, nil
}

func (t *tree) close() { _ = t.root.Close() } // all that was written was closed by itself

// begin counts anew.
func (t *tree) begin(what string) {
	t.what = what
	t.files.Store(0)
	t.bytes.Store(0)
}

func (t *tree) mode(mode fs.FileMode) fs.FileMode {
	if t.open {
		return openMode
	}
	return mode
}

// folder makes a folder and those above it.
func (t *tree) folder(name string) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.makeFolder(path.Clean(name))
}

func (t *tree) makeFolder(name string) error {
	if t.made[name] {
		return nil
	}
	if err := t.makeFolder(path.Dir(name)); err != nil {
		return err
	}
	if err := t.root.Mkdir(filepath.FromSlash(name), 0o700); err != nil {
		return t.explain(name, err)
	}
	t.made[name] = true
	if t.owners.Chown {
		if err := t.root.Lchown(name, int(t.owners.UID), int(t.owners.GID)); err != nil {
			return err
		}
	}
	return t.root.Chmod(name, t.mode(0o755))
}

// file makes a file that is not there yet, in folders that it makes. Files can be executed: storage does not keep whether they can.
func (t *tree) file(name string, content io.Reader) (err error) {
	if t.files.Add(1) > int64(t.limits.Entries) {
		return resource.Errorf(resource.TooLarge, "TooManyFiles", "There are more than %d files in %s.", t.limits.Entries, t.what)
	}
	if err := t.folder(path.Dir(name)); err != nil {
		return err
	}
	file, err := t.root.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return t.explain(name, err)
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	if _, err := io.Copy(file, &bounded{r: content, tree: t}); err != nil {
		return err
	}
	if t.owners.Chown {
		if err := file.Chown(int(t.owners.UID), int(t.owners.GID)); err != nil {
			return err
		}
	}
	return file.Chmod(t.mode(0o755))
}

// explain says of names that cannot be together what is wrong with them.
func (t *tree) explain(name string, err error) error {
	if errors.Is(err, fs.ErrExist) || errors.Is(err, unix.ENOTDIR) {
		return resource.Invalidf("InvalidFileName", "In %s, %q is a file and a folder, or there twice; a folder of this machine cannot hold both. Rename one.", t.what, name).Because(fmt.Errorf("%w: %w", fs.ErrExist, err))
	}
	return err
}

// bounded ends what is more than the limit allows.
type bounded struct {
	r    io.Reader
	tree *tree
}

func (b *bounded) Read(p []byte) (int, error) {
	n, err := b.r.Read(p)
	if b.tree.bytes.Add(int64(n)) > b.tree.limits.Bytes {
		return 0, resource.Errorf(resource.TooLarge, "TooManyBytes", "There are more than %d GiB in %s.", b.tree.limits.Bytes>>30, b.tree.what)
	}
	return n, err
}

// because says what was tried when an error happened, and keeps its kind.
func because(err error, doing string) error {
	if known, ok := resource.AsError(err); ok {
		said := *known
		said.Message = fmt.Sprintf("Cannot %s: %s", doing, known.Message)
		return &said
	}
	return fmt.Errorf("%s: %w", doing, err)
}

func address(file workload.File) string {
	return path.Join(file.Container, strings.Trim(file.Path, "/"))
}

// called names somebody.
func called(who identity.Principal) string {
	if who.Name == "" {
		return who.ID
	}
	return fmt.Sprintf("%s (%s)", who.Name, who.ID)
}

func amount(files int, bytes int64) string {
	word := "files"
	if files == 1 {
		word = "file"
	}
	return fmt.Sprintf("%d %s, %d bytes", files, word, bytes)
}
