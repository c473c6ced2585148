package materialize

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"

	"github.com/apache/arrow-go/v18/parquet/file"
	"github.com/apache/arrow-go/v18/parquet/schema"

	"github.com/alvara-ml/alvara/featurestore/engine"
)

// markUTC makes the footers of computed files say that their times are instants in UTC. That is what an engine's times
// are; an engine that writes times without a zone leaves it unsaid, and the offline table's readers need it. The rows
// stay as they are, byte for byte.
func markUTC(files []engine.OutputFile) error {
	for _, f := range files {
		if err := markFile(f.Path); err != nil {
			return fmt.Errorf("mark the times of %s: %w", f.Path, err)
		}
	}
	return nil
}

func markFile(path string) (err error) {
	reader, err := file.OpenParquetFile(path, false)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, reader.Close()) }()
	meta := reader.MetaData()
	unmarked := false
	for i := range meta.Schema.NumColumns() {
		if stamp, ok := meta.Schema.Column(i).LogicalType().(schema.TimestampLogicalType); ok && !stamp.IsAdjustedToUTC() {
			unmarked = true
		}
	}
	if !unmarked {
		return nil
	}
	for _, element := range meta.FileMetaData.Schema {
		if element.LogicalType != nil && element.LogicalType.TIMESTAMP != nil {
			element.LogicalType.TIMESTAMP.IsAdjustedToUTC = true
		}
	}
	out, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	info, err := out.Stat()
	if err != nil {
		return err
	}
	// A file ends with its footer, the footer's length and a mark of four bytes.
	if _, err := out.Seek(info.Size()-int64(meta.Size())-8, 0); err != nil {
		return err
	}
	length, err := meta.WriteTo(out, nil)
	if err != nil {
		return err
	}
	end := append(binary.LittleEndian.AppendUint32(nil, uint32(length)), "PAR1"...)
	if _, err := out.Write(end); err != nil {
		return err
	}
	at, err := out.Seek(0, 1)
	if err != nil {
		return err
	}
	return out.Truncate(at)
}
