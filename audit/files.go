package audit

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
)

func segmentPath(path string, number int) string { return fmt.Sprintf("%s.%06d", path, number) }

// segments are the numbers of a log's segments, in order.
func segments(path string) ([]int, error) {
	names, err := os.ReadDir(filepath.Dir(path))
	if err != nil {
		return nil, err
	}
	var numbers []int
	for _, name := range names {
		rest, ok := bytes.CutPrefix([]byte(name.Name()), []byte(filepath.Base(path)+"."))
		if !ok {
			continue
		}
		if n, err := strconv.Atoi(string(rest)); err == nil && n > 0 && filepath.Base(segmentPath(path, n)) == name.Name() {
			numbers = append(numbers, n)
		}
	}
	slices.Sort(numbers)
	return numbers, nil
}

// files opens a log's files, oldest first, as they are at one moment, though its server may rotate them meanwhile.
func files(path string) (opened []*os.File, err error) {
	defer func() {
		if err != nil {
			closeAll(opened)
			opened = nil
		}
	}()
	active, err := os.Open(path)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	var activeInfo os.FileInfo
	if err == nil {
		defer func() {
			if err != nil {
				_ = active.Close()
			}
		}()
		if activeInfo, err = active.Stat(); err != nil {
			return nil, err
		}
	}
	numbers, err := segments(path)
	if err != nil {
		return nil, err
	}
	if activeInfo == nil && len(numbers) == 0 {
		return nil, fmt.Errorf("there is no log at %s", path)
	}
	for _, n := range numbers {
		file, err := os.Open(segmentPath(path, n))
		if err != nil {
			return opened, err
		}
		info, err := file.Stat()
		if err != nil || activeInfo != nil && os.SameFile(info, activeInfo) { // rotated since it was opened
			_ = file.Close()
			if err != nil {
				return opened, err
			}
			break
		}
		opened = append(opened, file)
	}
	if activeInfo != nil {
		opened = append(opened, active)
	}
	return opened, nil
}

func closeAll(files []*os.File) {
	for _, file := range files {
		_ = file.Close()
	}
}

// backwards calls each with the lines of a file from its first end bytes, last line first, until each returns false. at
// is where the line begins; whole tells whether a newline ends it, which may be false for the first call only.
func backwards(file io.ReaderAt, end int64, each func(line []byte, at int64, whole bool) bool) error {
	const block = 64 << 10
	var held []byte // bytes of the file from start on that are not yet given out
	start, whole := end, false
	for {
		cut := bytes.LastIndexByte(held, '\n')
		if cut < 0 && start > 0 {
			size := min(start, max(block, int64(len(held)))) // doubles for a long line
			more := make([]byte, size, size+int64(len(held)))
			if _, err := file.ReadAt(more, start-size); err != nil {
				return err
			}
			start -= size
			held = append(more, held...)
			continue
		}
		line := held[cut+1:]
		if (whole || len(line) > 0) && !each(line, start+int64(cut+1), whole) {
			return nil
		}
		if cut < 0 {
			return nil
		}
		held, whole = held[:cut], true
	}
}

// resume finds the last record and sets aside what follows it. torn says what that was.
func (f *File) resume() (torn string, err error) {
	numbers, err := segments(f.path)
	if err != nil {
		return "", fmt.Errorf("audit: %w", err)
	}
	if len(numbers) > 0 {
		f.number = numbers[len(numbers)-1]
	}
	found, keep, err := f.tail(f.file, f.size)
	if err != nil {
		return "", fmt.Errorf("audit: read %s: %w", f.path, err)
	}
	for i := len(numbers) - 1; i >= 0 && !found; i-- {
		if found, err = f.tailOf(segmentPath(f.path, numbers[i])); err != nil {
			return "", fmt.Errorf("audit: %w", err)
		}
	}
	if keep == f.size {
		return "", nil
	}
	return f.setAside(keep)
}

// tail takes the chain up at the last valid line of a file; keep is where that line ends.
func (f *File) tail(file *os.File, size int64) (found bool, keep int64, err error) {
	err = backwards(file, size, func(line []byte, at int64, whole bool) bool {
		if !whole {
			return true
		}
		e, err := parseLine(line)
		if err != nil {
			return true
		}
		f.seq, f.last, found, keep = e.Seq, e.hash, true, at+int64(len(line))+1
		return false
	})
	return found, keep, err
}

func (f *File) tailOf(path string) (bool, error) {
	file, err := os.Open(path)
	if err != nil {
		return false, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return false, err
	}
	found, _, err := f.tail(file, info.Size())
	return found, err
}

// setAside moves the file's bytes from keep on to a file of their own.
func (f *File) setAside(keep int64) (string, error) {
	var aside *os.File
	for n := 1; aside == nil; n++ {
		file, err := os.OpenFile(fmt.Sprintf("%s.torn-%d", f.path, n), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		if err != nil && !errors.Is(err, os.ErrExist) {
			return "", fmt.Errorf("audit: %w", err)
		}
		aside = file
	}
	defer aside.Close()
	if _, err := io.Copy(aside, io.NewSectionReader(f.file, keep, f.size-keep)); err != nil {
		return "", fmt.Errorf("audit: %w", err)
	}
	if err := aside.Sync(); err != nil {
		return "", fmt.Errorf("audit: %w", err)
	}
	if err := f.file.Truncate(keep); err != nil {
		return "", fmt.Errorf("audit: %w", err)
	}
	torn := fmt.Sprintf("%d bytes after record %d were no whole record; they are in %s", f.size-keep, f.seq, filepath.Base(aside.Name()))
	f.size = keep
	return torn, nil
}
