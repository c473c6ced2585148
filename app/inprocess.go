package app

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"strconv"
)

// inProcess stands for the connection of a request that never left the process.
var inProcess = &tls.ConnectionState{Version: tls.VersionTLS13, HandshakeComplete: true}

// response takes the answer to a request within the process.
type response struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (r *response) Header() http.Header { return r.header }

func (r *response) WriteHeader(status int) {
	if r.status == 0 {
		r.status = status
	}
}

func (r *response) Write(p []byte) (int, error) {
	r.WriteHeader(http.StatusOK)
	return r.body.Write(p)
}

// serveInProcess has a handler answer a request as if it had come over TLS. The body of the answer is read while it is written.
func serveInProcess(handler http.Handler, r *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithCancel(r.Context())
	asked := r.Clone(ctx)
	asked.RequestURI, asked.RemoteAddr, asked.TLS = r.URL.RequestURI(), "127.0.0.1:0", inProcess
	if asked.Host == "" {
		asked.Host = r.URL.Host
	}
	if asked.Body == nil {
		asked.Body = http.NoBody
	}
	read, write := io.Pipe()
	w := &streamed{header: http.Header{}, body: write, begun: make(chan struct{}), bodiless: r.Method == http.MethodHead}
	go func() {
		defer cancel()
		defer func() {
			cause := recover() // a handler that gives up in the middle, as servers take it
			w.WriteHeader(http.StatusInternalServerError)
			var err error
			if cause != nil {
				err = fmt.Errorf("the answer was cut off: %v", cause)
			}
			_ = write.CloseWithError(err)
			_ = asked.Body.Close() // nobody reads it any more
		}()
		handler.ServeHTTP(w, asked)
		w.WriteHeader(http.StatusOK)
	}()
	select {
	case <-w.begun:
	case <-r.Context().Done():
		cancel()
		_ = read.CloseWithError(r.Context().Err())
		return nil, r.Context().Err()
	}
	length := int64(-1)
	if text := w.sent.Get("Content-Length"); text != "" {
		if n, err := strconv.ParseInt(text, 10, 64); err == nil {
			length = n
		}
	}
	return &http.Response{
		Status: http.StatusText(w.status), StatusCode: w.status, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: w.sent,
		Body: read, ContentLength: length, Request: r, TLS: inProcess,
	}, nil
}

// streamed passes an answer on while it is written. Who closes the other end ends it.
type streamed struct {
	header   http.Header
	body     *io.PipeWriter
	begun    chan struct{} // closed when status and sent are there
	status   int
	sent     http.Header
	bodiless bool
}

func (s *streamed) Header() http.Header { return s.header }

func (s *streamed) WriteHeader(status int) {
	if s.status != 0 {
		return
	}
	s.status, s.sent = status, s.header.Clone()
	close(s.begun)
}

func (s *streamed) Write(p []byte) (int, error) {
	s.WriteHeader(http.StatusOK)
	if s.bodiless {
		return len(p), nil
	}
	return s.body.Write(p)
}
