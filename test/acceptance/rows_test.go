package acceptance

import (
	"bytes"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/ipc"
)

// emptyRows is an Arrow stream of the set transactions:1 without rows.
func emptyRows() []byte {
	schema := arrow.NewSchema([]arrow.Field{
		{Name: "accountID", Type: arrow.BinaryTypes.String}, {Name: "timestamp", Type: &arrow.TimestampType{Unit: arrow.Microsecond, TimeZone: "UTC"}}, {Name: "amount", Type: arrow.PrimitiveTypes.Float64},
	}, nil)
	var buffer bytes.Buffer
	writer := ipc.NewWriter(&buffer, ipc.WithSchema(schema))
	if err := writer.Close(); err != nil {
		panic(err)
	}
	return buffer.Bytes()
}
