package inference

import (
	"context"
	"errors"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strconv"
	"strings"

	"github.com/alvara-ml/alvara/resource"
	"github.com/alvara-ml/alvara/serving"
)

// choose finds the deployment that answers: the one that the caller names, or one by its share.
func (s *Server) choose(q *request) (resource.ID, error) {
	if named := q.http.Header.Get(deploymentHeader); named != "" {
		id, known := q.endpoint.Deployments[strings.ToLower(named)]
		if !known {
			return resource.Root, resource.NotFoundf("DeploymentNotFound", "The endpoint %s has no deployment %.100q; the header %s names one that there is.", q.endpoint.ID.Name(), named, deploymentHeader)
		}
		return id, nil
	}
	all := 0
	for _, share := range q.endpoint.Traffic {
		all += share.Percent
	}
	if all == 0 {
		return resource.Root, resource.NotFoundf("NoTraffic", "No deployment of the endpoint %s gets requests; name one with the header %s, or give it a share, with: alvara ml online-endpoint update -n %s -w %s -g %s --traffic NAME=100",
			q.endpoint.ID.Name(), deploymentHeader, q.endpoint.ID.Name(), q.endpoint.ID.Parent().Name(), q.endpoint.ID.ResourceGroup())
	}
	at := s.Choose(all)
	for _, share := range q.endpoint.Traffic {
		if at -= share.Percent; at < 0 {
			return q.endpoint.Deployments[share.Deployment], nil
		}
	}
	return resource.Root, resource.Errorf(resource.Internal, "", "the shares of %s add up to less than they did", q.endpoint.ID)
}

// pass passes the request on to the instance, and its answer back as it comes.
func (s *Server) pass(ctx context.Context, w http.ResponseWriter, q *request, deployment string, lease *serving.Lease) error {
	bounds := lease.Requests()
	ctx, cancel := context.WithTimeout(ctx, bounds.Timeout)
	defer cancel()
	target, err := url.Parse("http://instance" + q.path)
	if err != nil {
		return resource.Invalidf("InvalidPath", "the path is malformed: %v", err)
	}
	if q.path == "/score" && bounds.Path != "" {
		target = &url.URL{Scheme: "http", Host: "instance", Path: bounds.Path}
	}
	in := q.http.WithContext(ctx)
	in.Body = http.MaxBytesReader(w, q.http.Body, maxBody)
	var failed error
	proxy := &httputil.ReverseProxy{
		Transport: lease, FlushInterval: -1, ErrorLog: nil,
		Rewrite: func(p *httputil.ProxyRequest) {
			target.RawQuery = p.In.URL.RawQuery
			p.Out.URL, p.Out.Host = target, ""
			// Who calls is decided here. What was shown for it is not the instance's to have.
			p.Out.Header.Del("Authorization")
			p.Out.Header.Del(deploymentHeader)
			p.Out.Header.Set("X-Ms-Request-Id", q.id)
		},
		ModifyResponse: func(answer *http.Response) error {
			answer.Header.Set("X-Ms-Request-Id", q.id)
			answer.Header.Set(deploymentHeader, deployment)
			if answer.StatusCode >= 400 { // told apart from what the gateway itself refuses
				answer.Header.Set("ms-azureml-model-error-statuscode", strconv.Itoa(answer.StatusCode))
				answer.Header.Set("ms-azureml-model-error-reason", "model_error")
			}
			w.Header().Del("X-Ms-Request-Id") // the answer has it
			return nil
		},
		ErrorHandler: func(_ http.ResponseWriter, _ *http.Request, err error) { failed = err },
	}
	proxy.ServeHTTP(w, in)
	return s.explain(ctx, q, deployment, failed)
}

// explain words why an instance did not answer.
func (s *Server) explain(ctx context.Context, q *request, deployment string, err error) error {
	var large *http.MaxBytesError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &large):
		return resource.Errorf(resource.TooLarge, "RequestEntityTooLarge", "The request is larger than %d bytes.", large.Limit)
	case q.http.Context().Err() != nil:
		return q.http.Context().Err() // the caller has gone away
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return resource.Errorf(resource.Unavailable, codeTimeout, "The deployment %s did not answer in time; make the request smaller, or raise the requestTimeout of its request_settings.", deployment)
	}
	return resource.Errorf(resource.Unavailable, codeModel, "The deployment %s broke off: its instance ended or answered with what is no HTTP. See why with: alvara ml online-deployment get-logs -n %s -e %s -w %s -g %s",
		deployment, deployment, q.endpoint.ID.Name(), q.endpoint.ID.Parent().Name(), q.endpoint.ID.ResourceGroup()).Because(err)
}
