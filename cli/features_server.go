package cli

import (
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/alvara-ml/alvara/cli/profile"
	"github.com/alvara-ml/alvara/cli/wire"
)

// onServer sends the observations to the features plane and writes its answer to out.
func (g *getOffline) onServer(c *Call, store, format string, out *os.File) (Retrieved, error) {
	media := map[string]string{".parquet": "application/vnd.apache.parquet", ".csv": "text/csv"}[strings.ToLower(filepath.Ext(g.Observations))]
	if media == "" {
		return Retrieved{}, usagef("--observations: the server takes files that end in .parquet or .csv")
	}
	base, err := c.featuresPlane()
	if err != nil {
		return Retrieved{}, err
	}
	observations, err := os.Open(g.Observations)
	if err != nil {
		return Retrieved{}, err
	}
	defer observations.Close()
	info, err := observations.Stat()
	if err != nil {
		return Retrieved{}, err
	}
	query := url.Values{"features": g.Features, "timestampColumn": {g.TimestampColumn}, "format": {format}}
	if g.MemoryLimit != 0 {
		query.Set("memoryLimit", strconv.FormatInt(int64(g.MemoryLimit), 10))
	}
	request, err := http.NewRequestWithContext(c.ctx, http.MethodPost, base+store+"/offline?"+query.Encode(), io.NopCloser(observations))
	if err != nil {
		return Retrieved{}, err
	}
	token, err := c.issuer.Token(c.ctx, profile.MachineLearning)
	if err != nil {
		return Retrieved{}, err
	}
	request.ContentLength = info.Size()
	request.Header.Set("Authorization", "Bearer "+token.AccessToken)
	request.Header.Set("Content-Type", media)
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
	_, err = io.Copy(out, response.Body)
	return Retrieved{Rows: -1}, err
}
