package audit

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"
)

// Broken is what Verify finds: the first record that does not continue the chain.
type Broken struct {
	File   string // its base name
	Line   int    // in the file, from 1
	Seq    uint64 // the number that the record should have
	Reason string
}

func (b *Broken) Error() string {
	return fmt.Sprintf("audit: record %d (%s, line %d) breaks the chain: %s", b.Seq, b.File, b.Line, b.Reason)
}

// Verify walks the chain of the log at path, which may be in use, and returns a *Broken for the first record that was
// changed, inserted, moved, or stands where others were removed. That the newest records were removed shows only in
// comparison with a Head kept elsewhere.
func Verify(path string) error {
	opened, err := files(path)
	if err != nil {
		return fmt.Errorf("audit: %w", err)
	}
	defer closeAll(opened)
	var chain chain
	for _, file := range opened {
		if err := chain.walk(file); err != nil {
			return err
		}
	}
	return nil
}

// chain is how far Verify has come.
type chain struct {
	seq  uint64
	last Hash
}

func (c *chain) walk(file *os.File) error {
	lines := bufio.NewReaderSize(file, 256<<10)
	for number := 1; ; number++ {
		line, err := readLine(lines)
		if err == io.EOF {
			return nil
		}
		if err == nil {
			err = c.step(line)
		} else if !errors.Is(err, io.ErrUnexpectedEOF) {
			return fmt.Errorf("audit: read %s: %w", file.Name(), err)
		} else {
			err = errors.New("its line is incomplete")
		}
		if err != nil {
			return &Broken{File: filepath.Base(file.Name()), Line: number, Seq: c.seq + 1, Reason: err.Error()}
		}
	}
}

// readLine reads a line without its newline. It waits a moment for the end of one that is being written; without one the
// error is io.ErrUnexpectedEOF.
func readLine(lines *bufio.Reader) ([]byte, error) {
	line, err := lines.ReadBytes('\n')
	for range 10 {
		if err != io.EOF || len(line) == 0 {
			break
		}
		time.Sleep(10 * time.Millisecond)
		var more []byte
		more, err = lines.ReadBytes('\n')
		line = append(line, more...)
	}
	if err == io.EOF && len(line) > 0 {
		return nil, io.ErrUnexpectedEOF
	}
	return bytes.TrimSuffix(line, []byte("\n")), err
}

func (c *chain) step(line []byte) error {
	e, err := parseLine(line)
	switch {
	case err != nil:
		return err
	case e.Seq != c.seq+1:
		return fmt.Errorf("it has the number %d; records in between were removed, or this one was moved or inserted", e.Seq)
	case e.Prev != c.last.String():
		return fmt.Errorf("it follows a record with the hash %s, and the one before it has %s", e.Prev, c.last)
	}
	c.seq, c.last = e.Seq, e.hash
	return nil
}

// Read gives records of the log at path, which may be in use, the newest first: those that filter accepts (nil: all), at
// most limit (0: no limit). Lines that are no records are left out; Verify finds them.
func Read(path string, filter func(Record) bool, limit int) ([]Record, error) {
	opened, err := files(path)
	if err != nil {
		return nil, fmt.Errorf("audit: %w", err)
	}
	defer closeAll(opened)
	var records []Record
	for i := len(opened) - 1; i >= 0; i-- {
		info, err := opened[i].Stat()
		if err != nil {
			return nil, fmt.Errorf("audit: %w", err)
		}
		full := func() bool { return limit > 0 && len(records) >= limit }
		err = backwards(opened[i], info.Size(), func(line []byte, _ int64, _ bool) bool {
			if e, err := parseLine(line); err == nil && (filter == nil || filter(e.Record)) {
				records = append(records, e.Record)
			}
			return !full()
		})
		if err != nil {
			return nil, fmt.Errorf("audit: read %s: %w", opened[i].Name(), err)
		}
		if full() {
			break
		}
	}
	return records, nil
}
