package cli

import (
	"io"
	"mime/multipart"
	"net/http"
	"net/textproto"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/alvara-ml/alvara/cli/document"
	"github.com/alvara-ml/alvara/cli/profile"
	"github.com/alvara-ml/alvara/cli/wire"
)

var mediaTypes = map[string]string{
	"parquet": "application/vnd.apache.parquet", "arrow": "application/vnd.apache.arrow.stream", "csv": "text/csv", "json": "application/json",
}

// onServer sends the observations to the features plane and writes its answer to out.
func (g *getOffline) onServer(c *Call, store, format string, out *os.File) (Retrieved, error) {
	base, err := c.featuresPlane()
	if err != nil {
		return Retrieved{}, err
	}
	observations, err := os.Open(g.Observations)
	if err != nil {
		return Retrieved{}, err
	}
	defer observations.Close()
	question := document.New("features", document.Strings(g.Features), "timestampColumn", g.TimestampColumn)
	if g.MemoryLimit != 0 {
		question.Set("memoryLimit", g.MemoryLimit.String())
	}
	text, err := document.Indent(question)
	if err != nil {
		return Retrieved{}, err
	}
	reader, writer := io.Pipe()
	form := multipart.NewWriter(writer)
	go func() { writer.CloseWithError(writeForm(form, text, observations, filepath.Base(g.Observations))) }()
	token, err := c.issuer.Token(c.ctx, profile.MachineLearning)
	if err != nil {
		return Retrieved{}, err
	}
	request, err := http.NewRequestWithContext(c.ctx, http.MethodPost, base+store+"/offline", reader)
	if err != nil {
		return Retrieved{}, err
	}
	request.Header.Set("Authorization", "Bearer "+token.AccessToken)
	request.Header.Set("Content-Type", form.FormDataContentType())
	request.Header.Set("Accept", mediaTypes[format])
	response, err := c.issuer.HTTP.Do(request)
	if err != nil {
		return Retrieved{}, err
	}
	defer response.Body.Close()
	if response.StatusCode >= 400 {
		body, err := io.ReadAll(io.LimitReader(response.Body, 1<<20))
		if err != nil {
			return Retrieved{}, err
		}
		return Retrieved{}, wire.ReadError(response.StatusCode, response.Header, body)
	}
	if _, err := io.Copy(out, response.Body); err != nil {
		return Retrieved{}, err
	}
	rows, err := strconv.ParseInt(response.Header.Get("x-alvara-rows"), 10, 64)
	if err != nil {
		rows = -1
	}
	return Retrieved{Rows: rows}, nil
}

func writeForm(form *multipart.Writer, question []byte, observations io.Reader, name string) error {
	part, err := form.CreatePart(textproto.MIMEHeader{"Content-Disposition": {`form-data; name="request"`}, "Content-Type": {"application/json"}})
	if err != nil {
		return err
	}
	if _, err := part.Write(question); err != nil {
		return err
	}
	media := mediaTypes[strings.TrimPrefix(strings.ToLower(filepath.Ext(name)), ".")]
	if media == "" {
		media = "application/octet-stream"
	}
	part, err = form.CreatePart(textproto.MIMEHeader{
		"Content-Disposition": {`form-data; name="observations"; filename="` + strings.NewReplacer(`"`, "", "\r", "", "\n", "").Replace(name) + `"`}, "Content-Type": {media}})
	if err != nil {
		return err
	}
	if _, err := io.Copy(part, observations); err != nil {
		return err
	}
	return form.Close()
}
