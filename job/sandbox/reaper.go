//go:build linux

package sandbox

// #cgo CFLAGS: -O2 -Wall
// #include "reaper.h"
import "C"

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"unsafe"

	"github.com/opencontainers/runc/libcontainer/system"
	"golang.org/x/sys/unix"
)

// report is struct reaper_report.
type report struct {
	Kind             uint32
	Value            int32
	UserUS, SystemUS int64
	PeakKB           int64
}

// image is the reaper as an executable file: a header, the filter and the code in one read-only segment.
func image(filter []unix.SockFilter) ([]byte, error) {
	if len(filter) > C.REAPER_MOST {
		return nil, fmt.Errorf("a filter of %d instructions is longer than %d", len(filter), C.REAPER_MOST)
	}
	code := C.GoBytes(unsafe.Pointer(C.sandbox_reaper_code()), C.int(C.sandbox_reaper_length()))
	size := uint64(C.REAPER_CODE + len(code))
	header := elf.Header64{
		Type: uint16(elf.ET_EXEC), Machine: uint16(machine), Version: uint32(elf.EV_CURRENT),
		Entry: uint64(C.REAPER_BASE + C.REAPER_CODE + C.sandbox_reaper_begin()),
		Phoff: 64, Ehsize: 64, Phentsize: 56, Phnum: 2,
	}
	copy(header.Ident[:], elf.ELFMAG)
	header.Ident[elf.EI_CLASS] = byte(elf.ELFCLASS64)
	header.Ident[elf.EI_DATA] = byte(elf.ELFDATA2LSB)
	header.Ident[elf.EI_VERSION] = byte(elf.EV_CURRENT)
	segments := []elf.Prog64{
		{Type: uint32(elf.PT_LOAD), Flags: uint32(elf.PF_R | elf.PF_X), Vaddr: C.REAPER_BASE, Paddr: C.REAPER_BASE,
			Filesz: size, Memsz: size, Align: 1 << 16},
		{Type: uint32(elf.PT_GNU_STACK), Flags: uint32(elf.PF_R | elf.PF_W), Align: 16},
	}
	var file bytes.Buffer
	file.Grow(int(size))
	put := func(at int, values ...any) {
		file.Write(make([]byte, at-file.Len()))
		for _, value := range values {
			_ = binary.Write(&file, binary.LittleEndian, value) // a buffer takes everything
		}
	}
	put(0, header, segments)
	put(C.REAPER_FILTER, uint32(len(filter)), uint32(0), filter)
	put(C.REAPER_CODE, code)
	return file.Bytes(), nil
}

// executable keeps a file in memory that can be executed and no longer changed.
func executable(content []byte) (*os.File, error) {
	file, err := system.ExecutableMemfd("sandbox-reaper", unix.MFD_ALLOW_SEALING|unix.MFD_CLOEXEC)
	if err != nil {
		return nil, err
	}
	_, err = file.Write(content)
	if err == nil {
		err = file.Chmod(0o555) // everybody inside may execute it; it has nothing to hide
	}
	if err == nil {
		_, err = unix.FcntlInt(file.Fd(), unix.F_ADD_SEALS, unix.F_SEAL_SEAL|unix.F_SEAL_SHRINK|unix.F_SEAL_GROW|unix.F_SEAL_WRITE)
	}
	if err != nil {
		_ = file.Close()
		return nil, err
	}
	return file, nil
}

// selfFD is where the reaper has its own file, inside.
const selfFD = C.REAPER_SELF

// What a report is about; Value is a wait status or an errno.
const (
	reportEnded    = C.REAPER_ENDED
	reportNoFilter = C.REAPER_NOFILTER
	reportNoExec   = C.REAPER_NOEXEC
	reportNoFork   = C.REAPER_NOFORK
)

// readReports reads what the reaper had to report until its end. A reaper that was killed had nothing.
func readReports(pipe io.Reader) ([]report, error) {
	var reports []report
	for {
		var r report
		switch err := binary.Read(pipe, binary.LittleEndian, &r); {
		case errors.Is(err, io.EOF):
			return reports, nil
		case err != nil:
			return reports, err
		}
		reports = append(reports, r)
	}
}
