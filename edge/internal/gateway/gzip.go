package gateway

import (
	"compress/gzip"
	"net/http"
	"runtime"
	"strconv"
	"strings"
)

// minGzip is the size from which an answer is compressed, bytes: smaller ones fit into
// one packet of the network as they are.
const minGzip = 1400

// gzipWriters compress answers. Each takes about a MiB, and a processor while it works,
// so every second processor of this process has one. When all are in use, answers are sent
// uncompressed.
type gzipWriters struct {
	// nil for one that has not been made yet.
	free chan *gzip.Writer
}

func newGzipWriters() *gzipWriters {
	g := &gzipWriters{free: make(chan *gzip.Writer, (runtime.GOMAXPROCS(0)+1)/2)}
	for range cap(g.free) {
		g.free <- nil
	}
	return g
}

// withGzip compresses the answers of serve for clients that ask for it.
func (g *gzipWriters) withGzip(serve http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Add("Vary", "Accept-Encoding")
		if r.Method == http.MethodHead || !acceptsGzip(r) {
			serve(w, r)
			return
		}
		answer := &gzipAnswer{ResponseWriter: w, writers: g}
		defer answer.close()
		serve(answer, r)
	}
}

// acceptsGzip reports whether r asks for gzip by name.
func acceptsGzip(r *http.Request) bool {
	for _, line := range r.Header["Accept-Encoding"] {
		for item := range strings.SplitSeq(line, ",") {
			coding, weight, _ := strings.Cut(item, ";")
			if !strings.EqualFold(strings.TrimSpace(coding), "gzip") {
				continue
			}
			q, found := strings.CutPrefix(strings.ToLower(strings.ReplaceAll(weight, " ", "")), "q=")
			value, err := strconv.ParseFloat(q, 64)
			return !found || err == nil && value > 0
		}
	}
	return false
}

// gzipAnswer is an answer that is compressed if it is large, and a writer is free.
type gzipAnswer struct {
	http.ResponseWriter
	writers *gzipWriters
	begun   bool
	// nil: it is sent as it is.
	compressed *gzip.Writer
}

// Unwrap is for http.ResponseController.
func (a *gzipAnswer) Unwrap() http.ResponseWriter { return a.ResponseWriter }

// WriteHeader implements http.ResponseWriter.
func (a *gzipAnswer) WriteHeader(code int) {
	if !a.begun {
		a.begun = true
		a.begin(code)
	}
	a.ResponseWriter.WriteHeader(code)
}

func (a *gzipAnswer) begin(code int) {
	size, err := strconv.Atoi(a.Header().Get("Content-Length"))
	if code != http.StatusOK || err != nil || size < minGzip {
		return
	}
	select {
	case a.compressed = <-a.writers.free:
	default:
		return
	}
	if a.compressed == nil {
		a.compressed, _ = gzip.NewWriterLevel(nil, gzip.BestSpeed) // the level is a valid one
	}
	a.compressed.Reset(a.ResponseWriter)
	a.Header().Set("Content-Encoding", "gzip")
	a.Header().Del("Content-Length")
}

// Write implements http.ResponseWriter.
func (a *gzipAnswer) Write(b []byte) (int, error) {
	if !a.begun {
		a.WriteHeader(http.StatusOK)
	}
	if a.compressed != nil {
		return a.compressed.Write(b)
	}
	return a.ResponseWriter.Write(b)
}

// close ends the answer.
func (a *gzipAnswer) close() {
	if a.compressed == nil {
		return
	}
	_ = a.compressed.Close() // the client may have gone
	a.compressed.Reset(nil)
	a.writers.free <- a.compressed
	a.compressed = nil
}
