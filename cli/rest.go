package cli

import (
	"net/http"
	"net/url"
	"os"
	"strings"

	"github.com/alvara-ml/alvara/cli/document"
	"github.com/alvara-ml/alvara/cli/profile"
	"github.com/alvara-ml/alvara/cli/wire"
)

type restCommand struct {
	Method            string   `short:"m" default:"get" help:"get, put, post, patch, delete, head or options. (${default})"`
	URL               string   `name:"url" alt:"-u" aliases:"uri" required:"" help:"URL of a plane, or a path of the resource manager; {subscriptionId} in it is filled in."`
	Body              string   `short:"b" help:"Body as text, or @FILE."`
	Headers           []string `sep:"none" placeholder:"NAME=VALUE" help:"More headers."`
	URLParameters     []string `name:"url-parameters" aliases:"uri-parameters" sep:"none" placeholder:"NAME=VALUE" help:"More query parameters."`
	Resource          string   `help:"Audience of the token; without it that of the plane that the URL belongs to."`
	SkipAuthorization bool     `name:"skip-authorization-header" help:"Send no token."`
	OutputFile        string   `name:"output-file" type:"path" help:"File for the body of the answer."`
}

func (r *restCommand) Run(c *Call) error {
	active, err := c.signedIn()
	if err != nil {
		return err
	}
	target := strings.ReplaceAll(r.URL, "{subscriptionId}", active.Subscription)
	if strings.HasPrefix(target, "/") {
		base, err := c.plane("resource manager", "ALVARA_ENDPOINT", func(e profile.Endpoints) string { return e.ResourceManager })
		if err != nil {
			return err
		}
		target = base + target
	}
	request := wire.Request{Method: strings.ToUpper(r.Method), URL: target, Header: http.Header{}, Query: url.Values{}}
	for _, pairs := range []struct {
		given []string
		set   func(name, value string)
	}{{r.Headers, request.Header.Set}, {r.URLParameters, request.Query.Set}} {
		for _, pair := range pairs.given {
			name, value, ok := strings.Cut(pair, "=")
			if !ok {
				return usagef("%q is not of the form NAME=VALUE", pair)
			}
			pairs.set(name, value)
		}
	}
	if !r.SkipAuthorization {
		if request.Resource, err = r.audience(active.Endpoints, target); err != nil {
			return err
		}
	}
	if r.Body != "" {
		body := []byte(r.Body)
		if path, isFile := strings.CutPrefix(r.Body, "@"); isFile {
			if body, err = os.ReadFile(path); err != nil {
				return err
			}
		}
		request.Body = body
	}
	response, err := c.client.Do(c.ctx, request)
	if err != nil {
		return err
	}
	if r.OutputFile != "" {
		return writeWhole(r.OutputFile, func(part *os.File) error {
			_, err := part.Write(response.Body)
			return err
		})
	}
	if len(response.Body) == 0 {
		return nil
	}
	value, err := document.Decode(response.Body)
	if err != nil {
		_, err = c.Program.Stdout.Write(response.Body)
		return err
	}
	return c.Print(value)
}

// audience gives the audience of the plane that a URL lies in. A token is never sent to an address that is no plane.
func (r *restCommand) audience(e profile.Endpoints, target string) (string, error) {
	if r.Resource != "" {
		return strings.TrimRight(r.Resource, "/") + "/", nil
	}
	best, resource := "", ""
	for _, plane := range []struct{ base, resource string }{
		{e.ResourceManager, profile.ResourceManager}, {e.Graph + "/v1.0", profile.Graph}, {e.Features, profile.MachineLearning}, {e.Blob, profile.Storage}, {e.DFS, profile.Storage},
	} {
		if strings.HasPrefix(plane.base, "http") && strings.HasPrefix(target+"/", plane.base+"/") && len(plane.base) > len(best) {
			best, resource = plane.base, plane.resource
		}
	}
	if resource == "" {
		return "", usagef("%s belongs to no plane of the server; name the token's audience with --resource, or send none with --skip-authorization-header", target)
	}
	return resource, nil
}
