package blob

import (
	"context"
	"io"
	"time"
)

// Objects keeps the bytes. Containers are named by Container.Key; names are any UTF-8 text up to MaxName characters,
// without NUL, and must not be taken for file names. All methods may be called concurrently; a write is visible entirely or not at
// all, and once it has returned without error it survives a crash. A reader that is open keeps reading what it opened.
//
// Errors: NotFound ("BlobNotFound"), Invalid ("InvalidBlockList"), Unavailable ("InsufficientStorage") when the medium is
// full, and whatever a Decide function returned. Anything else is Internal.
type Objects interface {
	// Head reads what is known about an object.
	Head(ctx context.Context, container, name string) (Object, error)
	// Open opens an object for reading, from its first byte.
	Open(ctx context.Context, container, name string) (Object, Reader, error)
	// List reads a page of names in byte order.
	List(ctx context.Context, container string, query ListQuery) (Page, error)

	// Draft begins to receive bytes, which nobody sees until a method below takes the draft over. Whatever that method
	// returns, the draft is used up; one that is not handed over must be discarded.
	Draft(ctx context.Context) (Draft, error)
	// Put makes the draft the whole content of the object; staged blocks of the name are dropped. A nil draft is empty.
	Put(ctx context.Context, container, name string, draft Draft, decide Decide) (Object, error)
	// Append adds the draft at the end of an existing object.
	Append(ctx context.Context, container, name string, draft Draft, decide Decide) (Object, error)
	// Update changes everything except the bytes of an existing object.
	Update(ctx context.Context, container, name string, decide Decide) (Object, error)
	// Copy makes an object hold the bytes (and blocks) of an opened one, without reading them where the driver can.
	Copy(ctx context.Context, container, name string, source Reader, decide Decide) (Object, error)
	// Delete removes an object and its staged blocks. Decide's object is ignored.
	Delete(ctx context.Context, container, name string, decide Decide) error

	// Stage keeps the draft as an uncommitted block of the name, which need not exist; one of the same id is replaced.
	// Staged blocks expire after StagedFor.
	Stage(ctx context.Context, container, name, block string, draft Draft) error
	// Staged lists the uncommitted blocks of a name, ordered by id.
	Staged(ctx context.Context, container, name string) ([]Block, error)
	// PutBlocks makes the object the concatenation of blocks, and drops the other staged ones. A block that is not
	// there gives Invalid with code InvalidBlockList.
	PutBlocks(ctx context.Context, container, name string, blocks []BlockRef, decide Decide) (Object, error)

	// Move renames objects in one step: every move happens or none. Decide is called for each destination with
	// what is there now, in the order given. Staged blocks of the sources are dropped.
	Move(ctx context.Context, moves []Move) error
	// Drop forgets a container with everything in it.
	Drop(ctx context.Context, container string) error
}

// Decide is called under the object's lock with the object as it is now, nil when there is none. It returns the object
// that is to be, or the error that refuses the write. The driver fills in Name, Size, ETag, Modified, Blocks and, for a
// new object, Created; all other fields are the caller's. Decide must not call the driver.
type Decide func(current *Object) (Object, error)

// Move is one step of a rename.
type Move struct {
	FromContainer, From string
	ToContainer, To     string
	Decide              func(source Object, destination *Object) (Object, error)
}

// Object is what is known about a blob.
type Object struct {
	Name     string
	Kind     Kind
	Size     int64  // bytes
	ETag     string // without quotes; changes with every write
	Created  time.Time
	Modified time.Time
	Headers  Headers
	Metadata map[string]string // names as given, compared without regard to case
	Blocks   []Block           // the committed blocks, in order, without an id for what was put in one piece; not filled by List
	Copied   *Copied           // of the last copy into this blob
	Tier     string            // Hot, Cool, Cold or Archive when one was set
}

// Kind is the blob's type.
type Kind string

// The kinds of blob. There are no page blobs.
const (
	BlockBlob  Kind = "BlockBlob"
	AppendBlob Kind = "AppendBlob"
)

// IsFolder tells that the object stands for a folder.
func (o *Object) IsFolder() bool { return isFolder(o) }

// Headers are the HTTP headers that are kept with a blob and given back with it.
type Headers struct {
	ContentType        string
	ContentEncoding    string
	ContentLanguage    string
	ContentDisposition string
	CacheControl       string
	ContentMD5         []byte // 16 bytes, or nil when the writer gave none and none was computed
}

// Copied tells where a blob was copied from.
type Copied struct {
	ID     string
	Source string // the URL, without its query
	At     time.Time
}

// Block is a committed or staged block.
type Block struct {
	ID   string // base64, as the client gave it
	Size int64
}

// BlockRef names a block of a block list and where to look for it.
type BlockRef struct {
	ID   string
	From BlockSource
}

// BlockSource says which blocks an id may mean.
type BlockSource uint8

// The block sources of a block list.
const (
	Latest      BlockSource = iota // the staged one, else the committed one
	Committed                      // of the object as it is
	Uncommitted                    // staged
	Present                        // everything that the object holds now; the id is ignored, and it must be the first
)

// ListQuery selects names in byte order.
type ListQuery struct {
	Prefix    string
	Delimiter string // groups names that share what stands between Prefix and it; "" for none
	From      string // only names, and groups, that are not less than it
	Limit     int    // at most so many objects and groups together; must be positive
}

// Page is one page of a listing. Entries are in order.
type Page struct {
	Entries []Entry
	Next    string // give it as From to go on; "" when this is the last page
}

// Entry is an object, or with Group a shared prefix that ends in the delimiter.
type Entry struct {
	Group  string // "" for an object
	Object Object
}

// Reader reads one version of an object. It is used by one goroutine at a time.
type Reader interface {
	io.ReadSeekCloser
}

// Draft receives bytes. It is used by one goroutine at a time.
type Draft interface {
	io.Writer
	Size() int64
	// Discard gives the bytes up. On a draft that was handed over it does nothing.
	Discard()
}

// Limits of the protocol.
const (
	MaxName      = 1024               // characters of a blob name
	MaxBlocks    = 50_000             // blocks of a blob, and appends to an append blob
	MaxBlock     = 4000 << 20         // bytes of a block
	MaxPut       = 5000 << 20         // bytes of a blob that is put in one piece
	MaxAppend    = 100 << 20          // bytes of one append to an append blob
	StagedFor    = 7 * 24 * time.Hour // how long an uncommitted block is kept
	maxMetadata  = 8 << 10            // bytes of all metadata together
	maxBlockList = 8 << 20            // bytes of a block list's XML
	maxDelegate  = 7 * 24 * time.Hour // how long a user delegation key may hold
)
