package gateway

import (
	"context"
	"log/slog"
	"mime"
	"net/http"
	"strconv"
	"strings"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"google.golang.org/grpc/status"

	"github.com/gotapi/gotapi-ws/edge/internal/httpjson"
	historyv1 "github.com/gotapi/gotapi-ws/proto/gen/gotapi/history/v1"
)

// groupsPath is where the answer depends on the header Accept.
const groupsPath = "/__/groups"

// contentTypeText is that of a list of groups. It also names its marshaler in the mux.
const contentTypeText = "text/plain; charset=utf-8"

// newMapped serves what history.gateway.yaml maps under /__/, but pages of history.
func newMapped(ctx context.Context, history *Forwarder, log *slog.Logger) (http.Handler, error) {
	installParser()
	mux := runtime.NewServeMux(
		runtime.WithDisablePathLengthFallback(),
		runtime.WithDisableHTTPMethodOverride(),
		runtime.WithWriteContentLength(),
		runtime.WithIncomingHeaderMatcher(func(string) (string, bool) { return "", false }),
		runtime.WithMarshalerOption(runtime.MIMEWildcard, &jsonMarshaler{}),
		runtime.WithMarshalerOption(contentTypeText, &linesMarshaler{}),
		runtime.WithErrorHandler(errorHandler(log)),
		runtime.WithRoutingErrorHandler(routingError),
	)
	if err := historyv1.RegisterHistoryServiceHandlerServer(ctx, mux, history); err != nil {
		return nil, err
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := parseForm(w, r); err != nil {
			writeFormError(w, err)
			return
		}
		r = normalize(r)
		if r.URL.Path == groupsPath {
			w.Header().Add("Vary", "Accept")
		}
		mux.ServeHTTP(w, r)
	}), nil
}

// normalize leaves only what the mux is to see: the path has no slash at its end, HEAD is
// served as GET (the server drops the body), the marshaler is chosen, and what callers of the
// gateway might send to its own machinery is gone.
func normalize(r *http.Request) *http.Request {
	r2 := r.WithContext(r.Context())
	r2.Header = http.Header{}
	url := *r.URL
	url.Path = strings.TrimSuffix(url.Path, "/")
	r2.URL = &url
	if url.Path == groupsPath && !accepts(r, httpjson.ContentType) {
		r2.Header.Set("Accept", contentTypeText)
	}
	if r.Method == http.MethodHead {
		r2.Method = http.MethodGet
	}
	return r2
}

// accepts reports whether r asks for a media type by name.
func accepts(r *http.Request, want string) bool {
	for _, accept := range r.Header["Accept"] {
		for item := range strings.SplitSeq(accept, ",") {
			mediaType, params, err := mime.ParseMediaType(item)
			if err != nil || mediaType != want {
				continue
			}
			if q, err := strconv.ParseFloat(params["q"], 64); err != nil || q > 0 {
				return true
			}
		}
	}
	return false
}

// errorHandler writes the errors of calls.
func errorHandler(log *slog.Logger) runtime.ErrorHandlerFunc {
	return func(ctx context.Context, _ *runtime.ServeMux, _ runtime.Marshaler, w http.ResponseWriter, r *http.Request, err error) {
		writeCallError(ctx, w, r.URL.Path, err, log)
	}
}

// writeCallError answers with the error of a call, which is a gRPC status.
func writeCallError(ctx context.Context, w http.ResponseWriter, path string, err error, log *slog.Logger) {
	if ctx.Err() != nil {
		w.WriteHeader(clientGone)
		return
	}
	st := status.Convert(err)
	code := statusOf(st.Code())
	if code == http.StatusInternalServerError {
		log.ErrorContext(ctx, "call of the history service failed", "path", path, "error", err)
	}
	httpjson.WriteError(w, code, refusalText(code, st.Message()))
}

// routingError is not reached as long as the endpoints of the Handler are those
// of the mux; if they are not, the answer is still one of ours.
func routingError(_ context.Context, _ *runtime.ServeMux, _ runtime.Marshaler, w http.ResponseWriter, _ *http.Request, code int) {
	httpjson.WriteError(w, code, http.StatusText(code))
}
