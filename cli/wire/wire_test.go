package wire

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// fake answers requests from a table of "METHOD path" to handlers.
type fake map[string]http.HandlerFunc

func (f fake) start(t *testing.T) (*Client, string, *[]time.Duration) {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if handler := f[r.Method+" "+r.URL.Path]; handler != nil {
			handler(w, r)
			return
		}
		http.NotFound(w, r)
	}))
	t.Cleanup(server.Close)
	slept := &[]time.Duration{}
	return &Client{
		HTTP:  server.Client(),
		Token: func(context.Context, string) (string, error) { return "t0ken", nil },
		Sleep: func(ctx context.Context, d time.Duration) error { *slept = append(*slept, d); return ctx.Err() },
	}, server.URL, slept
}

func answer(status int, body string, header ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		for i := 0; i+1 < len(header); i += 2 {
			w.Header().Set(header[i], strings.ReplaceAll(header[i+1], "HOST", "http://"+r.Host))
		}
		w.WriteHeader(status)
		fmt.Fprint(w, strings.ReplaceAll(body, "HOST", "http://"+r.Host))
	}
}

// in gives one answer after the other, the last one again and again.
func in(handlers ...http.HandlerFunc) http.HandlerFunc {
	var n atomic.Int64
	return func(w http.ResponseWriter, r *http.Request) {
		handlers[min(int(n.Add(1)), len(handlers))-1](w, r)
	}
}

func TestOperationsRunToTheirEnd(t *testing.T) {
	for _, c := range []struct {
		name, method string
		routes       fake
		want, fails  string
	}{
		{"a plain answer is the result", "PUT", fake{"PUT /r": answer(201, `{"name":"r"}`)}, `{"name":"r"}`, ""},
		{"Azure-AsyncOperation, then the resource", "PUT", fake{
			"PUT /r":  answer(201, `{"name":"r"}`, "Azure-AsyncOperation", "HOST/op", "Retry-After", "0"),
			"GET /op": in(answer(200, `{"status":"InProgress"}`), answer(200, `{"status":"Succeeded"}`)),
			"GET /r":  answer(200, `{"name":"r","properties":{"done":true}}`),
		}, `{"name":"r","properties":{"done":true}}`, ""},
		{"a relative operation URL", "PATCH", fake{
			"PATCH /r": answer(202, ``, "Azure-AsyncOperation", "/op"),
			"GET /op":  answer(200, `{"status":"Succeeded"}`),
			"GET /r":   answer(200, `{"name":"r"}`),
		}, `{"name":"r"}`, ""},
		{"a failed operation gives its reason", "PUT", fake{
			"PUT /r":  answer(202, ``, "Azure-AsyncOperation", "HOST/op"),
			"GET /op": answer(200, `{"status":"Failed","error":{"code":"AuthorizationFailed","message":"no write on x"}}`),
		}, "", "(AuthorizationFailed) no write on x"},
		{"a cancelled operation without a reason", "PUT", fake{
			"PUT /r":  answer(202, ``, "Azure-AsyncOperation", "HOST/op"),
			"GET /op": answer(200, `{"status":"Canceled"}`),
		}, "", "(OperationCanceled)"},
		{"Location only", "POST", fake{
			"POST /r":   answer(202, ``, "Location", "HOST/res"),
			"GET /res":  in(answer(202, ``, "Location", "HOST/res2"), answer(200, `{"wrong":1}`)),
			"GET /res2": in(answer(202, ``), answer(200, `{"jobIds":["j"]}`)),
		}, `{"jobIds":["j"]}`, ""},
		{"POST with both: the Location has the result", "POST", fake{
			"POST /r":  answer(202, ``, "Location", "HOST/res", "Azure-AsyncOperation", "HOST/op"),
			"GET /op":  answer(200, `{"status":"Succeeded"}`),
			"GET /res": answer(200, `{"jobIds":["j"]}`),
		}, `{"jobIds":["j"]}`, ""},
		{"provisioningState on its way", "PUT", fake{
			"PUT /r": answer(200, `{"properties":{"provisioningState":"Creating"}}`),
			"GET /r": in(answer(200, `{"properties":{"provisioningState":"Updating"}}`), answer(200, `{"properties":{"provisioningState":"Succeeded"}}`)),
		}, `{"properties":{"provisioningState":"Succeeded"}}`, ""},
		{"provisioningState Failed", "PUT", fake{
			"PUT /r": answer(200, `{"properties":{"provisioningState":"Creating"}}`),
			"GET /r": answer(200, `{"properties":{"provisioningState":"Failed"}}`),
		}, "", "(OperationFailed)"},
		{"deletion of what could not be made", "DELETE", fake{"DELETE /r": answer(200, `{"properties":{"provisioningState":"Failed"}}`)}, `{"properties":{"provisioningState":"Failed"}}`, ""},
		{"deletion that ends in 404", "DELETE", fake{"DELETE /r": answer(202, ``, "Location", "HOST/gone")}, "null", ""},
		{"an operation on another server is refused", "PUT", fake{
			"PUT /r": answer(202, ``, "Azure-AsyncOperation", "http://evil.example/op"),
		}, "", "another server"},
	} {
		t.Run(c.name, func(t *testing.T) {
			client, base, slept := c.routes.start(t)
			request := Request{Method: c.method, URL: base + "/r", Resource: "https://management.azure.com/"}
			first, err := client.Do(t.Context(), request)
			if err != nil {
				t.Fatal(err)
			}
			result, err := (&Operation{Client: client}).Finish(t.Context(), request, first)
			for _, d := range *slept {
				if d <= 0 {
					t.Errorf("polled without a pause: %v", *slept)
				}
			}
			if c.fails != "" {
				if err == nil || !strings.Contains(err.Error(), c.fails) {
					t.Fatalf("got %v, want %q", err, c.fails)
				}
				return
			}
			text, marshalErr := result.MarshalJSON()
			if err != nil || marshalErr != nil || string(text) != c.want {
				t.Fatalf("got %s, %v; want %s", text, err, c.want)
			}
		})
	}
}

func TestAnOperationStopsWhenItsContextEnds(t *testing.T) {
	client, base, _ := fake{"PUT /r": answer(202, ``, "Azure-AsyncOperation", "HOST/op"), "GET /op": answer(200, `{"status":"Running"}`)}.start(t)
	ctx, cancel := context.WithCancel(t.Context())
	polls := 0
	client.Sleep = func(ctx context.Context, _ time.Duration) error {
		if polls++; polls == 3 {
			cancel()
		}
		return ctx.Err()
	}
	request := Request{Method: "PUT", URL: base + "/r"}
	first, err := client.Do(ctx, request)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := (&Operation{Client: client}).Finish(ctx, request, first); !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v", err)
	}
}

func TestErrorsOfEveryWire(t *testing.T) {
	for _, c := range []struct{ name, body, want string }{
		{"ARM", `{"error":{"code":"AuthorizationFailed","message":"no","target":"properties.x","details":[{"code":"A","message":"write on a"},{"code":"B","message":"write on b","target":"b"}]}}`,
			"(AuthorizationFailed) no\nTarget: properties.x\n- (A) write on a\n- (B) write on b"},
		{"cure", `{"error":{"code":"C","message":"no","additionalInfo":[{"type":"Cure","info":{"command":"alvara role assignment create"}}]}}`, "(C) no\nTry: alvara role assignment create"},
		{"OAuth", `{"error":"invalid_client","error_description":"AADSTS7000215: wrong secret"}`, "(invalid_client) AADSTS7000215: wrong secret"},
		{"registry", `{"errors":[{"code":"DENIED","message":"no pull","detail":{"target":"x"}},{"code":"TAG_INVALID","message":"and more"}]}`, "(DENIED) no pull\n- (TAG_INVALID) and more"},
		{"storage", "\ufeff<?xml version=\"1.0\"?><Error><Code>BlobNotFound</Code><Message>gone\nRequestId:1</Message></Error>", "(BlobNotFound) gone\nRequestId:1"},
		{"text", "it broke", "it broke"},
		{"HTML", "<html>proxy</html>", "the server answered 418 I'm a teapot"},
		{"nothing", "", "the server answered 418 I'm a teapot"},
	} {
		if got := ReadError(418, http.Header{}, []byte(c.body)).Error(); got != c.want {
			t.Errorf("%s:\n%s\nwant\n%s", c.name, got, c.want)
		}
	}
}

func TestBusyServersAreAskedAgain(t *testing.T) {
	client, base, slept := fake{"PUT /r": in(answer(429, ``, "Retry-After", "7"), answer(503, ``), answer(200, `{}`))}.start(t)
	if _, err := client.Do(t.Context(), Request{Method: "PUT", URL: base + "/r", Body: []byte(`{}`)}); err != nil {
		t.Fatal(err)
	}
	if len(*slept) != 2 || (*slept)[0] != 7*time.Second {
		t.Errorf("slept %v", *slept)
	}
	client, base, _ = fake{"GET /r": answer(429, `{"error":{"code":"TooManyRequests","message":"slow"}}`)}.start(t)
	var refused *Error
	if _, err := client.Do(t.Context(), Request{Method: "GET", URL: base + "/r"}); !errors.As(err, &refused) || refused.Status != 429 {
		t.Errorf("got %v", err)
	}
}

func TestListsReadEveryPageOfTheSameServer(t *testing.T) {
	client, base, _ := fake{
		"GET /l": func(w http.ResponseWriter, r *http.Request) {
			switch r.URL.Query().Get("page") {
			case "":
				fmt.Fprintf(w, `{"value":[{"n":1}],"nextLink":"http://%s/l?page=2"}`, r.Host)
			case "2":
				fmt.Fprintf(w, `{"value":[{"n":2}],"@odata.nextLink":"http://%s/l?page=3"}`, r.Host)
			default:
				fmt.Fprint(w, `{"value":[{"n":3}]}`)
			}
		},
		"GET /loop": answer(200, `{"value":[],"nextLink":"HOST/loop"}`),
		"GET /away": answer(200, `{"value":[],"nextLink":"http://evil.example/"}`),
	}.start(t)
	found, err := client.List(t.Context(), Request{Method: "GET", URL: base + "/l"})
	if err != nil || len(found) != 3 || found[2].Text("n") != "3" {
		t.Fatalf("got %v, %v", found, err)
	}
	for _, path := range []string{"/loop", "/away"} {
		if _, err := client.List(t.Context(), Request{Method: "GET", URL: base + path}); err == nil {
			t.Errorf("%s was followed", path)
		}
	}
}

func TestDebugShowsNoCredential(t *testing.T) {
	var log bytes.Buffer
	client, base, _ := fake{"GET /r": answer(200, `{}`, "Location", "HOST/x?sig=s3cret&a=b", "Set-Cookie", "k=s3cret")}.start(t)
	client.HTTP.Transport = &Debug{Next: http.DefaultTransport, Log: &log, Now: time.Now}
	client.Token = func(context.Context, string) (string, error) { return "s3cret", nil }
	if _, err := client.Do(t.Context(), Request{Method: "GET", URL: base + "/r?sig=s3cret&x=1", Resource: "r",
		Header: http.Header{"x-ms-copy-source-authorization": {"Bearer s3cret"}}}); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(log.String(), "s3cret") || !strings.Contains(log.String(), "GET "+base+"/r?") || !strings.Contains(log.String(), "200 OK") {
		t.Errorf("the log is\n%s", log.String())
	}
}

func TestConnectionFaultsSayWhatToDo(t *testing.T) {
	client := &Client{HTTP: &http.Client{}}
	_, err := client.Do(t.Context(), Request{Method: "GET", URL: "http://127.0.0.1:1/x"})
	if err == nil || !strings.Contains(err.Error(), "alvara serve") {
		t.Errorf("got %v", err)
	}
	server := httptest.NewTLSServer(http.NotFoundHandler())
	defer server.Close()
	server.Config.ErrorLog = nil
	_, err = client.Do(t.Context(), Request{Method: "GET", URL: server.URL})
	if err == nil || !strings.Contains(err.Error(), "SSL_CERT_FILE") {
		t.Errorf("got %v", err)
	}
	if _, err := client.Do(t.Context(), Request{Method: "GET", URL: "/x"}); err == nil {
		t.Error("a relative URL was sent")
	}
}

func TestBodiesAreSentAsTheyAre(t *testing.T) {
	client, base, _ := fake{"PUT /r": func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		fmt.Fprintf(w, `{"body":%q,"auth":%q}`, body, r.Header.Get("Authorization"))
	}}.start(t)
	response, err := client.Do(t.Context(), Request{Method: "PUT", URL: base + "/r", Body: []byte("raw <&>"), Resource: "x"})
	if err != nil {
		t.Fatal(err)
	}
	object, err := response.Object()
	if err != nil || object.Text("body") != "raw <&>" || object.Text("auth") != "Bearer t0ken" {
		t.Errorf("got %v, %v", object, err)
	}
}
