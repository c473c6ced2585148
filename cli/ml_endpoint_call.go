package cli

import (
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/alvara-ml/alvara/cli/document"
	"github.com/alvara-ml/alvara/cli/profile"
	"github.com/alvara-ml/alvara/cli/wire"
)

// deploymentHeader names the deployment that is to answer, whatever its share.
const deploymentHeader = "azureml-model-deployment"

type endpointInvoke struct {
	endpointName
	RequestFile    string `name:"request-file" short:"r" required:"" help:"File with the body of the request; '-' is stdin."`
	DeploymentName string `name:"deployment-name" short:"d" help:"Deployment that is to answer, whatever its share of the requests."`
	ContentType    string `name:"content-type" help:"Content type of the request; without it by the file's ending, and application/json otherwise."`
}

func (e *endpointInvoke) Run(c *Call) error {
	body, err := e.body(c)
	if err != nil {
		return err
	}
	path, found, err := e.get(c)
	if err != nil {
		return err
	}
	target := found.Text("properties", "scoringUri")
	if target == "" {
		return &wire.Error{Code: "EndpointNotServed", Message: "the endpoint " + e.Name + " has no address: the server is not set up to serve endpoints"}
	}
	credentials, err := c.endpointCredentials(path, found)
	if err != nil {
		return err
	}
	request := wire.Request{Method: http.MethodPost, URL: target, Body: body, Header: http.Header{
		"Content-Type": {e.contentType()}, "Authorization": {"Bearer " + first(credentials.Text("accessToken"), credentials.Text("primaryKey"))}, "Accept": {"*/*"},
	}}
	if e.DeploymentName != "" {
		request.Header.Set(deploymentHeader, e.DeploymentName)
	}
	answer, err := c.client.Do(c.ctx, request)
	if err != nil {
		return modelError(err)
	}
	value, err := document.Decode(answer.Body)
	if err != nil {
		_, err = c.Program.Stdout.Write(answer.Body)
		return err
	}
	return c.Print(value)
}

// modelError shows what a deployment answered as it is. Refusals of the server itself stay what they are.
func modelError(err error) error {
	var refused *wire.Error
	if !errors.As(err, &refused) || refused.Answer == nil || refused.Answer.Header.Get(deploymentHeader) == "" {
		return err
	}
	const most = 8 << 10
	text := strings.TrimSpace(strings.ToValidUTF8(string(refused.Answer.Body[:min(len(refused.Answer.Body), most)]), "\uFFFD"))
	return fmt.Errorf("the deployment %s answered %d %s: %s", refused.Answer.Header.Get(deploymentHeader), refused.Status, http.StatusText(refused.Status), first(text, "(nothing)"))
}

func (e *endpointInvoke) body(c *Call) ([]byte, error) {
	if e.RequestFile == "-" {
		return io.ReadAll(c.Program.Stdin)
	}
	body, err := os.ReadFile(e.RequestFile)
	if err != nil {
		return nil, usagef("--request-file: %v", err)
	}
	return body, nil
}

func (e *endpointInvoke) contentType() string {
	known := mime.TypeByExtension(strings.ToLower(filepath.Ext(e.RequestFile)))
	return first(e.ContentType, known, "application/json")
}

type endpointCredentials struct{ endpointName }

func (e *endpointCredentials) Run(c *Call) error {
	path, found, err := e.get(c)
	if err != nil {
		return err
	}
	credentials, err := c.endpointCredentials(path, found)
	if err != nil {
		return err
	}
	return c.Print(credentials)
}

// endpointCredentials gives what opens an endpoint for whom is signed in: accessToken, or primaryKey and secondaryKey.
func (c *Call) endpointCredentials(path string, endpoint *document.Object) (*document.Object, error) {
	switch endpoint.Text("properties", "authMode") {
	case "Key":
		return c.arm(http.MethodPost, path+"/listKeys", machineLearnAPI, nil)
	case "AMLToken":
		return c.arm(http.MethodPost, path+"/token", machineLearnAPI, nil)
	}
	token, err := c.issuer.Token(c.ctx, profile.MachineLearning)
	if err != nil {
		return nil, err
	}
	out := document.New("accessToken", token.AccessToken, "tokenType", "Bearer")
	if !token.ExpiresOn.IsZero() {
		out.Set("expiryTimeUtc", token.ExpiresOn.UTC().Truncate(time.Second).Unix())
	}
	return out, nil
}

type endpointRegenerate struct {
	endpointName
	KeyType string `name:"key-type" enum:"primary,secondary" default:"primary" help:"Key to renew: ${enum}."`
	NoWait  bool   `name:"no-wait" help:"Do not wait for the end."`
}

func (e *endpointRegenerate) Run(c *Call) error {
	path, err := e.path(c)
	if err != nil {
		return err
	}
	body := document.New("keyType", strings.ToUpper(e.KeyType[:1])+e.KeyType[1:])
	_, err = c.armFinish(http.MethodPost, path+"/regenerateKeys", machineLearnAPI, body, "Renewing the "+e.KeyType+" key of "+e.Name, e.NoWait)
	return err
}
