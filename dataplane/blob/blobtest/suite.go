// Package blobtest is the suite that every driver of blob.Objects passes.
package blobtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/alvara-ml/alvara/dataplane/blob"
	"github.com/alvara-ml/alvara/resource"
)

// Clock is a clock that tests move.
type Clock struct {
	mu  sync.Mutex
	now time.Time
}

// Now gives the time.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

// Advance moves the time.
func (c *Clock) Advance(by time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(by)
}

// Run runs the suite. open gives an empty store each time.
func Run(t *testing.T, open func(t *testing.T, clock func() time.Time) blob.Objects) {
	cases := map[string]func(*testing.T, *box){
		"PutAndRead":         putAndRead,
		"Update":             update,
		"Delete":             deleting,
		"DecideRefuses":      decideRefuses,
		"ReaderKeepsOld":     readerKeepsOld,
		"Append":             appending,
		"Blocks":             blocks,
		"BlocksExpire":       blocksExpire,
		"Copy":               copying,
		"Move":               moving,
		"MoveIsWhole":        moveIsWhole,
		"Drop":               dropping,
		"Names":              names,
		"OneCreatorWins":     oneCreatorWins,
		"ReadersSeeOneWhole": readersSeeOneWhole,
	}
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			clock := &Clock{now: time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)}
			test(t, &box{t: t, Objects: open(t, clock.Now), clock: clock})
		})
	}
	t.Run("Model", func(t *testing.T) { model(t, open) })
}

// box is a store with the steps that tests take.
type box struct {
	blob.Objects
	t     testing.TB
	clock *Clock
}

func (b *box) ctx() context.Context { return b.t.Context() }

func tagged(meta string) blob.Decide {
	return func(*blob.Object) (blob.Object, error) {
		return blob.Object{Kind: blob.BlockBlob, Metadata: map[string]string{"m": meta}}, nil
	}
}

func (b *box) draft(content string) blob.Draft {
	b.t.Helper()
	d, err := b.Draft(b.ctx())
	b.ok(err)
	if _, err := io.WriteString(d, content); err != nil {
		b.t.Fatal(err)
	}
	if d.Size() != int64(len(content)) {
		b.t.Fatalf("the draft has %d bytes, want %d", d.Size(), len(content))
	}
	return d
}

func (b *box) put(container, name, content string) blob.Object {
	b.t.Helper()
	o, err := b.Put(b.ctx(), container, name, b.draft(content), tagged("put"))
	b.ok(err)
	return o
}

func (b *box) read(container, name string) string {
	b.t.Helper()
	o, r, err := b.Open(b.ctx(), container, name)
	b.ok(err)
	content, err := io.ReadAll(r)
	b.ok(errors.Join(err, r.Close()))
	if o.Size != int64(len(content)) {
		b.t.Fatalf("%s has %d bytes, and says %d", name, len(content), o.Size)
	}
	return string(content)
}

func (b *box) ok(err error) {
	b.t.Helper()
	if err != nil {
		b.t.Fatal(err)
	}
}

func (b *box) want(err error, kind resource.Kind) {
	b.t.Helper()
	if err == nil || resource.KindOf(err) != kind {
		b.t.Fatalf("got error %v, want kind %d", err, kind)
	}
}

func (b *box) list(container string, query blob.ListQuery) string {
	b.t.Helper()
	if query.Limit == 0 {
		query.Limit = 3
	}
	var out []string
	for {
		page, err := b.List(b.ctx(), container, query)
		b.ok(err)
		if len(page.Entries) > query.Limit {
			b.t.Fatalf("a page has %d entries, limit %d", len(page.Entries), query.Limit)
		}
		for _, e := range page.Entries {
			out = append(out, e.Group+e.Object.Name)
		}
		if page.Next == "" {
			return strings.Join(out, " ")
		}
		query.From = page.Next
	}
}

func putAndRead(t *testing.T, b *box) {
	_, err := b.Head(b.ctx(), "c", "x")
	b.want(err, resource.NotFound)
	_, _, err = b.Open(b.ctx(), "c", "x")
	b.want(err, resource.NotFound)
	first := b.put("c", "x", "hello")
	if first.Size != 5 || first.ETag == "" || first.Name != "x" || first.Metadata["m"] != "put" || !first.Created.Equal(b.clock.Now()) {
		t.Fatalf("put gave %+v", first)
	}
	b.clock.Advance(time.Minute)
	second := b.put("c", "x", "hello again")
	if second.ETag == first.ETag || !second.Created.Equal(first.Created) || !second.Modified.After(first.Modified) {
		t.Fatalf("the second put gave %+v after %+v", second, first)
	}
	if got := b.read("c", "x"); got != "hello again" {
		t.Fatalf("read %q", got)
	}
	o, r, err := b.Open(b.ctx(), "c", "x")
	b.ok(err)
	defer r.Close() //nolint:errcheck // only read
	if _, err := r.Seek(6, io.SeekStart); err != nil || o.Size != 11 {
		t.Fatal(err, o.Size)
	}
	if rest, err := io.ReadAll(r); err != nil || string(rest) != "again" {
		t.Fatalf("read %q, %v behind a seek", rest, err)
	}
	o, err = b.Put(b.ctx(), "c", "empty", nil, tagged(""))
	b.ok(err)
	if o.Size != 0 || b.read("c", "empty") != "" {
		t.Fatal("a nil draft must give an empty object")
	}
	b.draft("never handed over").Discard()
	if got := b.list("c", blob.ListQuery{}); got != "empty x" {
		t.Fatalf("listed %q", got)
	}
}

func update(t *testing.T, b *box) {
	_, err := b.Update(b.ctx(), "c", "x", tagged("u"))
	b.want(err, resource.NotFound)
	first := b.put("c", "x", "hello")
	second, err := b.Update(b.ctx(), "c", "x", func(current *blob.Object) (blob.Object, error) {
		o := *current
		o.Metadata = map[string]string{"new": "1"}
		o.Headers = blob.Headers{ContentType: "a/b", ContentMD5: []byte("0123456789abcdef")}
		o.Tier, o.Copied = "Cool", &blob.Copied{ID: "id", Source: "s", At: b.clock.Now()}
		return o, nil
	})
	b.ok(err)
	got, err := b.Head(b.ctx(), "c", "x")
	b.ok(err)
	if got.ETag != second.ETag || got.ETag == first.ETag || got.Metadata["new"] != "1" || got.Headers.ContentType != "a/b" ||
		string(got.Headers.ContentMD5) != "0123456789abcdef" || got.Tier != "Cool" || got.Copied.ID != "id" || b.read("c", "x") != "hello" {
		t.Fatalf("after the update: %+v", got)
	}
}

func deleting(t *testing.T, b *box) {
	keep := func(current *blob.Object) (blob.Object, error) { return blob.Object{}, nil }
	b.want(b.Delete(b.ctx(), "c", "x", keep), resource.NotFound)
	b.put("c", "x", "hello")
	b.ok(b.Stage(b.ctx(), "c", "x", "YQ==", b.draft("a")))
	b.ok(b.Delete(b.ctx(), "c", "x", keep))
	_, err := b.Head(b.ctx(), "c", "x")
	b.want(err, resource.NotFound)
	if staged, err := b.Staged(b.ctx(), "c", "x"); err != nil || len(staged) != 0 {
		t.Fatalf("staged after delete: %v, %v", staged, err)
	}
}

func decideRefuses(t *testing.T, b *box) {
	b.put("c", "x", "hello")
	no := resource.Forbiddenf("No", "no")
	refuse := func(current *blob.Object) (blob.Object, error) {
		if current == nil || current.Size != 5 {
			t.Errorf("Decide was shown %+v", current)
		}
		return blob.Object{}, no
	}
	b.ok(b.Stage(b.ctx(), "c", "x", "YQ==", b.draft("a")))
	_, put := b.Put(b.ctx(), "c", "x", b.draft("other"), refuse)
	_, app := b.Append(b.ctx(), "c", "x", b.draft("other"), refuse)
	_, upd := b.Update(b.ctx(), "c", "x", refuse)
	_, blk := b.PutBlocks(b.ctx(), "c", "x", []blob.BlockRef{{ID: "YQ=="}}, refuse)
	del := b.Delete(b.ctx(), "c", "x", refuse)
	mov := b.Move(b.ctx(), []blob.Move{{FromContainer: "c", From: "x", ToContainer: "c", To: "y", Decide: func(blob.Object, *blob.Object) (blob.Object, error) {
		return blob.Object{}, no
	}}})
	for i, err := range []error{put, app, upd, blk, del, mov} {
		if !errors.Is(err, no) {
			t.Errorf("case %d gave %v", i, err)
		}
	}
	if got := b.read("c", "x"); got != "hello" {
		t.Fatalf("read %q after refusals", got)
	}
	if staged, err := b.Staged(b.ctx(), "c", "x"); err != nil || len(staged) != 1 {
		t.Fatalf("staged after refusals: %v, %v", staged, err)
	}
}

func readerKeepsOld(t *testing.T, b *box) {
	b.ok(b.Stage(b.ctx(), "c", "x", "YQ==", b.draft("old-")))
	b.ok(b.Stage(b.ctx(), "c", "x", "Yg==", b.draft("bytes")))
	_, err := b.PutBlocks(b.ctx(), "c", "x", []blob.BlockRef{{ID: "YQ=="}, {ID: "Yg=="}}, tagged(""))
	b.ok(err)
	for _, end := range []func(){
		func() { b.put("c", "x", "new") },
		func() {
			b.ok(b.Delete(b.ctx(), "c", "x", func(*blob.Object) (blob.Object, error) { return blob.Object{}, nil }))
		},
	} {
		want := b.read("c", "x")
		_, r, err := b.Open(b.ctx(), "c", "x")
		b.ok(err)
		first := make([]byte, 1)
		_, err = io.ReadFull(r, first)
		b.ok(err)
		end()
		rest, err := io.ReadAll(r)
		b.ok(errors.Join(err, r.Close()))
		if got := string(first) + string(rest); got != want {
			t.Fatalf("the open reader read %q, want %q", got, want)
		}
	}
}

func appending(t *testing.T, b *box) {
	_, err := b.Append(b.ctx(), "c", "x", b.draft("1"), tagged(""))
	b.want(err, resource.NotFound)
	_, err = b.Put(b.ctx(), "c", "x", nil, tagged(""))
	b.ok(err)
	for i := range 10 {
		o, err := b.Append(b.ctx(), "c", "x", b.draft(fmt.Sprint(i)), func(current *blob.Object) (blob.Object, error) { return *current, nil })
		b.ok(err)
		if len(o.Blocks) != i+1 || o.Size != int64(i+1) {
			t.Fatalf("after %d appends: %+v", i+1, o)
		}
	}
	if got := b.read("c", "x"); got != "0123456789" {
		t.Fatalf("read %q", got)
	}
}

func blocks(t *testing.T, b *box) {
	stage := func(id, content string) { b.t.Helper(); b.ok(b.Stage(b.ctx(), "c", "x", id, b.draft(content))) }
	commit := func(want string, refs ...blob.BlockRef) blob.Object {
		b.t.Helper()
		o, err := b.PutBlocks(b.ctx(), "c", "x", refs, tagged(""))
		b.ok(err)
		if got := b.read("c", "x"); got != want {
			t.Fatalf("read %q, want %q", got, want)
		}
		return o
	}
	stage("YQ==", "a1")
	stage("Yg==", "b1")
	stage("Yg==", "b1-again")
	staged, err := b.Staged(b.ctx(), "c", "x")
	b.ok(err)
	if len(staged) != 2 || staged[0] != (blob.Block{ID: "YQ==", Size: 2}) || staged[1] != (blob.Block{ID: "Yg==", Size: 8}) {
		t.Fatalf("staged %+v", staged)
	}
	_, err = b.Head(b.ctx(), "c", "x")
	b.want(err, resource.NotFound)
	o := commit("b1-againa1b1-again", blob.BlockRef{ID: "Yg=="}, blob.BlockRef{ID: "YQ==", From: blob.Uncommitted}, blob.BlockRef{ID: "Yg=="})
	if len(o.Blocks) != 3 || o.Blocks[1] != (blob.Block{ID: "YQ==", Size: 2}) {
		t.Fatalf("committed %+v", o.Blocks)
	}
	if staged, err := b.Staged(b.ctx(), "c", "x"); err != nil || len(staged) != 0 {
		t.Fatalf("staged after the commit: %v, %v", staged, err)
	}
	stage("YQ==", "a2")
	stage("Yw==", "unused")
	commit("a1a2b1-again", blob.BlockRef{ID: "YQ==", From: blob.Committed}, blob.BlockRef{ID: "YQ==", From: blob.Latest}, blob.BlockRef{ID: "Yg=="})
	for _, ref := range []blob.BlockRef{{ID: "Yw=="}, {ID: "Yg==", From: blob.Uncommitted}, {ID: "ZZ==", From: blob.Committed}} {
		_, err := b.PutBlocks(b.ctx(), "c", "x", []blob.BlockRef{ref}, tagged(""))
		b.want(err, resource.Invalid)
	}
	b.put("c", "x", "whole ")
	stage("ZA==", "more")
	commit("whole more", blob.BlockRef{From: blob.Present}, blob.BlockRef{ID: "ZA=="})
	_, err = b.PutBlocks(b.ctx(), "c", "x", []blob.BlockRef{{ID: "ZA=="}, {From: blob.Present}}, tagged(""))
	b.want(err, resource.Invalid)
	stage("ZQ==", "gone with the put")
	b.put("c", "x", "y")
	_, err = b.PutBlocks(b.ctx(), "c", "x", []blob.BlockRef{{ID: "ZQ=="}}, tagged(""))
	b.want(err, resource.Invalid)
	commit("")
}

func blocksExpire(t *testing.T, b *box) {
	b.ok(b.Stage(b.ctx(), "c", "x", "YQ==", b.draft("old")))
	b.clock.Advance(blob.StagedFor - time.Minute)
	b.ok(b.Stage(b.ctx(), "c", "x", "Yg==", b.draft("young")))
	if staged, err := b.Staged(b.ctx(), "c", "x"); err != nil || len(staged) != 2 {
		t.Fatalf("staged: %v, %v", staged, err)
	}
	b.clock.Advance(2 * time.Minute)
	if staged, err := b.Staged(b.ctx(), "c", "x"); err != nil || len(staged) != 1 || staged[0].ID != "Yg==" {
		t.Fatalf("staged: %v, %v", staged, err)
	}
	_, err := b.PutBlocks(b.ctx(), "c", "x", []blob.BlockRef{{ID: "YQ=="}}, tagged(""))
	b.want(err, resource.Invalid)
}

func copying(t *testing.T, b *box) {
	b.ok(b.Stage(b.ctx(), "c", "x", "YQ==", b.draft("one ")))
	b.ok(b.Stage(b.ctx(), "c", "x", "Yg==", b.draft("two")))
	_, err := b.PutBlocks(b.ctx(), "c", "x", []blob.BlockRef{{ID: "YQ=="}, {ID: "Yg=="}}, tagged(""))
	b.ok(err)
	_, r, err := b.Open(b.ctx(), "c", "x")
	b.ok(err)
	o, err := b.Copy(b.ctx(), "d", "y", r, tagged("copied"))
	b.ok(errors.Join(err, r.Close()))
	if len(o.Blocks) != 2 || o.Metadata["m"] != "copied" {
		t.Fatalf("the copy is %+v", o)
	}
	b.put("c", "x", "changed")
	if got := b.read("d", "y"); got != "one two" {
		t.Fatalf("the copy reads %q", got)
	}
	foreign := foreignReader{bytes.NewReader([]byte("from elsewhere"))}
	_, err = b.Copy(b.ctx(), "d", "z", foreign, tagged(""))
	b.ok(err)
	if got := b.read("d", "z"); got != "from elsewhere" {
		t.Fatalf("the copy of a foreign reader reads %q", got)
	}
}

type foreignReader struct{ *bytes.Reader }

func (foreignReader) Close() error { return nil }

func same(source blob.Object, _ *blob.Object) (blob.Object, error) { return source, nil }

func moving(t *testing.T, b *box) {
	b.put("c", "x", "hello")
	b.put("d", "y", "replaced")
	b.ok(b.Stage(b.ctx(), "c", "x", "YQ==", b.draft("a")))
	b.ok(b.Move(b.ctx(), []blob.Move{{FromContainer: "c", From: "x", ToContainer: "d", To: "y", Decide: same}}))
	_, err := b.Head(b.ctx(), "c", "x")
	b.want(err, resource.NotFound)
	if got := b.read("d", "y"); got != "hello" {
		t.Fatalf("read %q", got)
	}
	if staged, err := b.Staged(b.ctx(), "c", "x"); err != nil || len(staged) != 0 {
		t.Fatalf("staged at the source: %v, %v", staged, err)
	}
}

func moveIsWhole(t *testing.T, b *box) {
	b.put("c", "x", "1")
	b.put("c", "y", "2")
	move := func(from, to string) blob.Move {
		return blob.Move{FromContainer: "c", From: from, ToContainer: "c", To: to, Decide: same}
	}
	b.want(b.Move(b.ctx(), []blob.Move{move("x", "p"), move("y", "q"), move("absent", "r")}), resource.NotFound)
	if got := b.list("c", blob.ListQuery{}); got != "x y" {
		t.Fatalf("listed %q after a move that failed", got)
	}
	if b.read("c", "x") != "1" || b.read("c", "y") != "2" {
		t.Fatal("the bytes changed")
	}
	b.ok(b.Move(b.ctx(), []blob.Move{move("x", "p"), move("y", "x")}))
	if got := b.list("c", blob.ListQuery{}); got != "p x" || b.read("c", "x") != "2" {
		t.Fatalf("listed %q", got)
	}
}

func dropping(t *testing.T, b *box) {
	for i := range 20 {
		b.put("c", fmt.Sprint(i), "x")
		b.put("c2", fmt.Sprint(i), "x")
	}
	b.ok(b.Stage(b.ctx(), "c", "x", "YQ==", b.draft("a")))
	b.ok(b.Drop(b.ctx(), "c"))
	if got := b.list("c", blob.ListQuery{}); got != "" {
		t.Fatalf("listed %q", got)
	}
	if got := b.list("c2", blob.ListQuery{Prefix: "1", Limit: 100}); got != "1 10 11 12 13 14 15 16 17 18 19" {
		t.Fatalf("the other container lists %q", got)
	}
	_, err := b.Put(b.ctx(), "c", "late", b.draft("x"), tagged(""))
	b.want(err, resource.NotFound)
	b.want(b.Stage(b.ctx(), "c", "late", "YQ==", b.draft("x")), resource.NotFound)
}

func names(t *testing.T, b *box) {
	all := []string{" ", "../../etc/passwd", "/", "//", "a", "a b", "a/", "a/../b", "a\\b", "a\x01b", "ü", "日本", strings.Repeat("x", 1024), "\U0010ffff"}
	for _, name := range all {
		b.put("c", name, "content of "+name)
	}
	for _, name := range all {
		if got := b.read("c", name); got != "content of "+name {
			t.Errorf("%q reads %q", name, got)
		}
	}
	query := blob.ListQuery{Limit: 100}
	page, err := b.List(b.ctx(), "c", query)
	b.ok(err)
	if len(page.Entries) != len(all) || page.Next != "" {
		t.Fatalf("listed %d of %d", len(page.Entries), len(all))
	}
	for i := 1; i < len(page.Entries); i++ {
		if page.Entries[i-1].Object.Name >= page.Entries[i].Object.Name {
			t.Errorf("%q is listed before %q", page.Entries[i-1].Object.Name, page.Entries[i].Object.Name)
		}
	}
	if got := b.list("c", blob.ListQuery{Prefix: "a", Delimiter: "/"}); got != "a a\x01b a b a/ a\\b" {
		t.Fatalf("listed %q", got)
	}
}

func oneCreatorWins(t *testing.T, b *box) {
	var won atomic.Int32
	var group sync.WaitGroup
	for i := range 8 {
		d := b.draft(fmt.Sprint(i))
		group.Go(func() {
			_, err := b.Put(b.ctx(), "c", "x", d, func(current *blob.Object) (blob.Object, error) {
				if current != nil {
					return blob.Object{}, resource.Conflictf("BlobAlreadyExists", "exists")
				}
				return blob.Object{Kind: blob.BlockBlob}, nil
			})
			switch {
			case err == nil:
				won.Add(1)
			case resource.KindOf(err) != resource.Conflict:
				t.Error(err)
			}
		})
	}
	group.Wait()
	if won.Load() != 1 {
		t.Fatalf("%d creators won", won.Load())
	}
}

func readersSeeOneWhole(t *testing.T, b *box) {
	content := func(i int) string { return strings.Repeat(string(rune('a'+i%26)), 5000+i%7) }
	b.put("c", "x", content(0))
	done := make(chan struct{})
	var group sync.WaitGroup
	for range 3 {
		group.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				o, r, err := b.Open(b.ctx(), "c", "x")
				if err != nil {
					t.Error(err)
					return
				}
				body, err := io.ReadAll(r)
				if err := errors.Join(err, r.Close()); err != nil {
					t.Error(err)
					return
				}
				if int64(len(body)) != o.Size || strings.Trim(string(body), string(body[:1])) != "" {
					t.Errorf("a reader saw %d bytes of several writers", len(body))
					return
				}
			}
		})
	}
	for i := 1; i < 40; i++ {
		b.put("c", "x", content(i))
	}
	close(done)
	group.Wait()
}
