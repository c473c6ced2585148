package blobtest

import (
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/alvara-ml/alvara/dataplane/blob"
	"github.com/alvara-ml/alvara/resource"
	"pgregory.net/rapid"
)

// model compares a store with the plainest model of it, over random operations.
func model(t *testing.T, open func(t *testing.T, clock func() time.Time) blob.Objects) {
	clock := &Clock{now: time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)}
	store := open(t, clock.Now)
	round := 0
	rapid.Check(t, func(r *rapid.T) {
		round++
		m := &machine{box: &box{t: t, Objects: store, clock: clock}, r: r, container: "round-" + strings.Repeat("i", round),
			held: map[string][]block{}, staged: map[string]map[string]string{}}
		r.Repeat(map[string]func(*rapid.T){
			"put": m.put, "append": m.append, "stage": m.stage, "commit": m.commit,
			"delete": m.delete, "copy": m.copy, "move": m.move, "list": m.list, "": m.check,
		})
	})
}

type block struct{ id, content string }

type machine struct {
	*box
	r         *rapid.T
	container string
	held      map[string][]block
	staged    map[string]map[string]string
}

var (
	nameOf    = rapid.SampledFrom([]string{"a", "a/b", "a/b/c", "a/c", "a0", "b", "b/", "b//x", "ä/b"})
	blockOf   = rapid.SampledFrom([]string{"MQ==", "Mg==", "Mw=="})
	contentOf = rapid.StringOfN(rapid.RuneFrom([]rune("xyz")), 0, 5, -1)
)

func (m *machine) expect(r *rapid.T, err error, ok bool) {
	switch {
	case ok && err != nil:
		r.Fatal(err)
	case !ok && resource.KindOf(err) != resource.NotFound && resource.KindOf(err) != resource.Invalid:
		r.Fatalf("got %v, want a refusal", err)
	case !ok && err == nil:
		r.Fatal("no error")
	}
}

func (m *machine) put(r *rapid.T) {
	name, content := nameOf.Draw(r, "name"), contentOf.Draw(r, "content")
	_, err := m.Put(m.ctx(), m.container, name, m.draft(content), tagged(""))
	m.expect(r, err, true)
	m.held[name] = []block{{"", content}}
	delete(m.staged, name)
}

func (m *machine) append(r *rapid.T) {
	name, content := nameOf.Draw(r, "name"), contentOf.Draw(r, "content")
	before, ok := m.held[name]
	_, err := m.Append(m.ctx(), m.container, name, m.draft(content), tagged(""))
	m.expect(r, err, ok)
	if ok {
		m.held[name] = append(slices.Clone(before), block{"", content})
	}
}

func (m *machine) stage(r *rapid.T) {
	name, id, content := nameOf.Draw(r, "name"), blockOf.Draw(r, "block"), contentOf.Draw(r, "content")
	m.expect(r, m.Stage(m.ctx(), m.container, name, id, m.draft(content)), true)
	if m.staged[name] == nil {
		m.staged[name] = map[string]string{}
	}
	m.staged[name][id] = content
}

func (m *machine) commit(r *rapid.T) {
	name := nameOf.Draw(r, "name")
	var refs []blob.BlockRef
	var want []block
	ok := true
	for range rapid.IntRange(0, 4).Draw(r, "blocks") {
		ref := blob.BlockRef{ID: blockOf.Draw(r, "block"), From: rapid.SampledFrom([]blob.BlockSource{blob.Latest, blob.Committed, blob.Uncommitted}).Draw(r, "from")}
		refs = append(refs, ref)
		content, there := m.staged[name][ref.ID]
		if ref.From == blob.Committed || (!there && ref.From == blob.Latest) {
			there = false
			for _, b := range m.held[name] {
				if b.id == ref.ID {
					content, there = b.content, true
				}
			}
		}
		ok = ok && there
		want = append(want, block{ref.ID, content})
	}
	_, err := m.PutBlocks(m.ctx(), m.container, name, refs, tagged(""))
	m.expect(r, err, ok)
	if ok {
		m.held[name] = want
		delete(m.staged, name)
	}
}

func (m *machine) delete(r *rapid.T) {
	name := nameOf.Draw(r, "name")
	_, ok := m.held[name]
	m.expect(r, m.Delete(m.ctx(), m.container, name, tagged("")), ok)
	if ok {
		delete(m.held, name)
		delete(m.staged, name)
	}
}

func (m *machine) copy(r *rapid.T) {
	from, to := nameOf.Draw(r, "from"), nameOf.Draw(r, "to")
	_, source, err := m.Open(m.ctx(), m.container, from)
	blocks, ok := m.held[from]
	m.expect(r, err, ok)
	if !ok {
		return
	}
	_, err = m.Copy(m.ctx(), m.container, to, source, tagged(""))
	m.expect(r, errors.Join(err, source.Close()), true)
	m.held[to] = blocks
	delete(m.staged, to)
}

func (m *machine) move(r *rapid.T) {
	from, to := nameOf.Draw(r, "from"), nameOf.Draw(r, "to")
	if from == to {
		return
	}
	blocks, ok := m.held[from]
	m.expect(r, m.Move(m.ctx(), []blob.Move{{FromContainer: m.container, From: from, ToContainer: m.container, To: to, Decide: same}}), ok)
	if ok {
		m.held[to] = blocks
		delete(m.held, from)
		delete(m.staged, from)
		delete(m.staged, to)
	}
}

// list compares a listing, page by page, with one made of all names.
func (m *machine) list(r *rapid.T) {
	query := blob.ListQuery{Prefix: rapid.SampledFrom([]string{"", "a", "a/", "b", "z"}).Draw(r, "prefix"),
		Delimiter: rapid.SampledFrom([]string{"", "/", "b"}).Draw(r, "delimiter"), Limit: rapid.IntRange(1, 4).Draw(r, "limit")}
	var want []string
	for name := range m.held {
		rest, ok := strings.CutPrefix(name, query.Prefix)
		if !ok {
			continue
		}
		if before, _, cut := strings.Cut(rest, query.Delimiter); cut && query.Delimiter != "" {
			name = query.Prefix + before + query.Delimiter + " (group)"
		}
		want = append(want, name)
	}
	slices.Sort(want)
	want = slices.Compact(want)
	var got []string
	for {
		page, err := m.List(m.ctx(), m.container, query)
		m.expect(r, err, true)
		for _, e := range page.Entries {
			if e.Group != "" {
				got = append(got, e.Group+" (group)")
			} else {
				got = append(got, e.Object.Name)
			}
		}
		if page.Next == "" {
			break
		}
		if len(page.Entries) != query.Limit {
			r.Fatalf("a page that is not the last has %d entries of %d", len(page.Entries), query.Limit)
		}
		query.From = page.Next
	}
	slices.Sort(got)
	if !slices.Equal(got, want) {
		r.Fatalf("listed %q, want %q (%+v)", got, want, query)
	}
}

// check compares everything that is there.
func (m *machine) check(r *rapid.T) {
	for name, blocks := range m.held {
		var want strings.Builder
		for _, b := range blocks {
			want.WriteString(b.content)
		}
		o, reader, err := m.Open(m.ctx(), m.container, name)
		m.expect(r, err, true)
		got, err := io.ReadAll(reader)
		m.expect(r, errors.Join(err, reader.Close()), true)
		if string(got) != want.String() || o.Size != int64(len(got)) {
			r.Fatalf("%q reads %q (size %d), want %q", name, got, o.Size, want.String())
		}
		staged, err := m.Staged(m.ctx(), m.container, name)
		m.expect(r, err, true)
		if len(staged) != len(m.staged[name]) {
			r.Fatalf("%q has %d staged blocks, want %d", name, len(staged), len(m.staged[name]))
		}
	}
}
