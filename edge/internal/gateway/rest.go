package gateway

import (
	"context"
	"errors"
	"log/slog"
	"mime"
	"net/http"
	"strconv"
	"strings"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"google.golang.org/grpc/status"

	historyv1 "github.com/gotapi/gotapi-ws/proto/gen/gotapi/history/v1"
)

// maxFormBytes is the largest body with parameters.
const maxFormBytes = 64 << 10

// groupsPath is where the answer depends on the header Accept.
const groupsPath = "/__/groups"

// Content types of answers. They also name the marshalers in the mux.
const (
	contentTypeJSON = "application/json"
	contentTypeText = "text/plain; charset=utf-8"
)

// contentTypeForm is that of bodies with parameters.
const contentTypeForm = "application/x-www-form-urlencoded"

// newREST serves what history.gateway.yaml maps under /__/, but pages of history.
func newREST(ctx context.Context, history *Forwarder, log *slog.Logger) (http.Handler, error) {
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
		if r.URL.Path == groupsPath {
			w.Header().Add("Vary", "Accept")
		}
		mux.ServeHTTP(w, normalize(r))
	}), nil
}

// normalize leaves only what the mux is to see: HEAD is served as GET (the
// server drops the body), the marshaler is chosen, and what callers of the
// gateway might send to its own machinery is gone.
func normalize(r *http.Request) *http.Request {
	r2 := r.WithContext(r.Context())
	r2.Header = http.Header{}
	if r.URL.Path == groupsPath && !accepts(r, contentTypeJSON) {
		r2.Header.Set("Accept", contentTypeText)
	}
	if r.Method == http.MethodHead {
		r2.Method = http.MethodGet
	}
	return r2
}

// accepts says whether a media type is asked for by name.
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

// parseForm reads the parameters into r.Form: from the query, and from the body
// of a POST if it is a form. A body of another type has none.
//
// A body without a type is taken for a form, as RFC 9110, section 8.3, allows: these
// endpoints read nothing else, and a backend that writes its requests itself often
// names no type. It opens no door: pages of other sites may send forms as it is.
func parseForm(w http.ResponseWriter, r *http.Request) error {
	r.Body = http.MaxBytesReader(w, r.Body, maxFormBytes)
	if r.Header.Get("Content-Type") == "" {
		r.Header.Set("Content-Type", contentTypeForm)
	}
	mediaType, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if r.Method == http.MethodPost && mediaType == "multipart/form-data" {
		// Never on disk: the body is smaller than what may be in memory.
		return r.ParseMultipartForm(2 * maxFormBytes)
	}
	return r.ParseForm()
}

func writeFormError(w http.ResponseWriter, err error) {
	var tooLarge *http.MaxBytesError
	if errors.As(err, &tooLarge) {
		WriteError(w, http.StatusRequestEntityTooLarge, errTooLarge.Error())
		return
	}
	WriteError(w, http.StatusBadRequest, "the parameters cannot be read: percent-encoding or form is broken")
}

// errorHandler writes the errors of calls.
func errorHandler(log *slog.Logger) runtime.ErrorHandlerFunc {
	return func(ctx context.Context, _ *runtime.ServeMux, _ runtime.Marshaler, w http.ResponseWriter, r *http.Request, err error) {
		writeCallError(ctx, w, r.URL.Path, err, log)
	}
}

// writeCallError answers with the error of a call, which is a gRPC status.
func writeCallError(ctx context.Context, w http.ResponseWriter, path string, err error, log *slog.Logger) {
	st := status.Convert(err)
	code := statusOf(st.Code())
	if code == http.StatusInternalServerError {
		log.ErrorContext(ctx, "call of the history service failed", "path", path, "error", err)
	}
	WriteError(w, code, refusalText(code, st.Message()))
}

// routingError is not reached as long as the endpoints of the Handler are those
// of the mux; if they are not, the answer is still one of ours.
func routingError(_ context.Context, _ *runtime.ServeMux, _ runtime.Marshaler, w http.ResponseWriter, _ *http.Request, code int) {
	WriteError(w, code, http.StatusText(code))
}
