package content_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/alvara-ml/alvara/dataplane/registry/content"
	"github.com/alvara-ml/alvara/store/sqlite"
)

// crashFolder, when it is set, makes the test binary a process that pushes until it is killed.
const crashFolder = "ALVARA_CONTENT_CRASH_FOLDER"

func TestMain(m *testing.M) {
	if folder := os.Getenv(crashFolder); folder != "" {
		if err := pushForever(folder); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	os.Exit(m.Run())
}

// layer is a layer of 40 KB that a name tells the bytes of.
func layer(name string) string { return strings.Repeat(fmt.Sprintf("%-16s", name), 2560) }

func crashImage(name string) string {
	return image(config(name), []string{layer(name), layer("shared")}, "")
}

// pushForever pushes images and uploads, while collecting, and prints each acknowledgement as a line: a tag and a digest, or
// an upload, its name and its offset.
func pushForever(folder string) error {
	ctx := context.Background()
	s, err := sqlite.Open(ctx, filepath.Join(folder, "store.db"))
	if err != nil {
		return err
	}
	engine, err := content.OpenDisk(ctx, filepath.Join(folder, "registry"), content.Options{Store: s})
	if err != nil {
		return err
	}
	w := &world{ctx: ctx, Registry: engine.Registry(key, content.Limits{})}
	fault := make(chan error)
	for g := range 3 {
		go func() {
			for i := 0; ; i++ {
				name := fmt.Sprintf("%d-%d-%d", os.Getpid(), g, i)
				for _, blob := range []string{config(name), layer(name), layer("shared")} {
					if _, err := w.tryBlob("app", blob); err != nil {
						fault <- err
						return
					}
				}
				pushed, err := w.PutManifest(ctx, "app", name, "", []byte(crashImage(name)))
				if err != nil {
					fault <- err
					return
				}
				fmt.Printf("pushed %s %s\n", name, pushed.Digest)
				if i%3 == 2 { // moves a tag that was acknowledged, and takes one away
					gone := fmt.Sprintf("%d-%d-%d", os.Getpid(), g, i-1)
					fmt.Printf("deleting %s %s\n", gone, sum(crashImage(gone)))
					if err := w.DeleteManifest(ctx, "app", sum(crashImage(gone))); err != nil {
						fault <- err
						return
					}
					fmt.Printf("deleted %s %s\n", gone, sum(crashImage(gone)))
				}
			}
		}()
	}
	go func() { fault <- w.uploadForever() }()
	go func() {
		for {
			if _, err := w.Collect(ctx, content.CollectOptions{Grace: time.Hour}); err != nil {
				fault <- err
				return
			}
		}
	}()
	return <-fault
}

func (w *world) uploadForever() error {
	for i := 0; ; i++ {
		name := fmt.Sprintf("%d-upload-%d", os.Getpid(), i)
		upload, err := w.BeginUpload(w.ctx, "app")
		if err != nil {
			return err
		}
		fmt.Printf("upload %s %s 0\n", name, upload.ID)
		for at := int64(0); at < 30_000; at += 5000 { // the last quarter never comes
			upload, err := w.WriteUpload(w.ctx, "app", upload.ID, at, strings.NewReader(layer(name)[at:at+5000]))
			if err != nil {
				return err
			}
			fmt.Printf("upload %s %s %d\n", name, upload.ID, upload.Offset)
		}
	}
}

// A process that pushes is killed at random moments: what was acknowledged is there and whole, nothing that is visible
// is half there, deleted things stay away, uploads continue from at least where they were acknowledged, and counts are right.
func TestCrash(t *testing.T) {
	rounds := 6
	if testing.Short() {
		rounds = 2
	}
	folder := t.TempDir()
	pushed, uploads := map[string]string{}, map[string][]string{}
	unknown := map[string]bool{} // tags whose deletion was begun
	seen, begun := 0, 0
	for range rounds {
		for _, line := range runAndKill(t, folder) {
			words := strings.Fields(line)
			switch words[0] {
			case "pushed":
				pushed[words[1]] = words[2]
				seen++
			case "deleting":
				delete(pushed, words[1])
				unknown[words[1]] = true
			case "deleted":
				delete(unknown, words[1])
				pushed[words[1]] = "" // and must not come back
			case "upload":
				uploads[words[1]] = words[2:]
				begun++
			}
		}
		checkAfterCrash(t, folder, pushed, uploads)
	}
	if seen == 0 || begun == 0 {
		t.Fatalf("%d pushes and %d steps of uploads were acknowledged; nothing was tested", seen, begun)
	}
	t.Logf("%d pushes and %d steps of uploads were acknowledged, %d deletions cut off", seen, begun, len(unknown))
}

// runAndKill gives the whole lines that the process printed.
func runAndKill(t *testing.T, folder string) (lines []string) {
	t.Helper()
	child := exec.Command(os.Args[0])
	child.Env = append(os.Environ(), crashFolder+"="+folder)
	var faults bytes.Buffer
	child.Stderr = &faults
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	reader := bufio.NewReader(out)
	first := true
	for {
		line, err := reader.ReadString('\n')
		if err != nil {
			break
		}
		if first {
			first = false
			time.AfterFunc(200*time.Millisecond+rand.N(500*time.Millisecond), func() { _ = child.Process.Kill() })
		}
		lines = append(lines, line)
	}
	if err := child.Wait(); child.ProcessState.Exited() {
		t.Fatalf("the process ended by itself: %v\n%s", err, &faults)
	}
	return lines
}

func checkAfterCrash(t *testing.T, folder string, pushed map[string]string, uploads map[string][]string) {
	t.Helper()
	ctx := context.Background()
	s, err := sqlite.Open(ctx, filepath.Join(folder, "store.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close(ctx)
	w := &world{t: t, ctx: ctx, store: s, folder: filepath.Join(folder, "registry"), clock: newClock()}
	w.restart()
	for tag, digest := range pushed {
		got, err := w.tryPull("app", tag)
		if digest == "" {
			if err == nil {
				t.Errorf("%s was deleted and is back", tag)
			}
		} else if err != nil || got != digest {
			t.Errorf("%s was acknowledged at %s, and pulls %s, %v", tag, digest, got, err)
		}
	}
	manifests, err := w.Manifests(ctx, "app", content.Page{})
	w.must(err)
	for _, manifest := range manifests {
		w.pull("app", manifest.Digest)
	}
	tags, err := w.Tags(ctx, "app", "", content.Page{})
	w.must(err)
	for _, tag := range tags {
		equal(t, w.pull("app", tag.Name), tag.Digest)
	}
	for name, upload := range uploads {
		now, err := w.Upload(ctx, "app", upload[0])
		w.must(err)
		var acknowledged int64
		_, err = fmt.Sscan(upload[1], &acknowledged)
		w.must(err)
		if now.Offset < acknowledged {
			t.Errorf("%s was acknowledged at %d and is at %d", name, acknowledged, now.Offset)
		}
		whole := layer(name)
		_, err = w.CommitUpload(ctx, "app", now.ID, now.Offset, strings.NewReader(whole[now.Offset:]), sum(whole))
		w.must(err)
		got, err := w.read("app", sum(whole))
		w.must(err)
		equal(t, got, whole)
		delete(uploads, name)
	}
}
