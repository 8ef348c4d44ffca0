package gateway

import (
	"errors"
	"io"
	"mime"
	"net/http"
	"os"
	"strings"

	"github.com/gotapi/gotapi-ws/edge/internal/httpjson"
)

// maxFormBytes is the largest body with parameters.
const maxFormBytes = 64 << 10

// contentTypeForm is that of bodies with parameters.
const contentTypeForm = "application/x-www-form-urlencoded"

// errTooLarge means that the body is larger than allowed.
var errTooLarge = errors.New("the body is too large")

// errEncoded means that the body is compressed, which nothing here undoes.
var errEncoded = errors.New("the body has a Content-Encoding: send it without one")

// isEncoded reports whether the body of r is not as it is.
func isEncoded(r *http.Request) bool {
	for _, header := range r.Header["Content-Encoding"] {
		for coding := range strings.SplitSeq(header, ",") {
			if coding = strings.TrimSpace(coding); coding != "" && !strings.EqualFold(coding, "identity") {
				return true
			}
		}
	}
	return false
}

// readBody reads at most limit bytes. It reads nothing if the header says that there
// are more.
func readBody(w http.ResponseWriter, r *http.Request, limit int64) ([]byte, error) {
	if isEncoded(r) {
		return nil, errEncoded
	}
	if r.ContentLength > limit {
		return nil, errTooLarge
	}
	in := http.MaxBytesReader(w, r.Body, limit)
	if r.ContentLength < 0 {
		return io.ReadAll(in)
	}
	body := make([]byte, r.ContentLength)
	_, err := io.ReadFull(in, body)
	return body, err
}

func writeBodyError(w http.ResponseWriter, err error) {
	writeInputError(w, err, "the body cannot be read")
}

// writeInputError answers with why a body was not read; broken is said of one that has
// come, but is no good.
func writeInputError(w http.ResponseWriter, err error, broken string) {
	var tooLarge *http.MaxBytesError
	switch {
	case errors.Is(err, errEncoded):
		w.Header().Set("Accept-Encoding", "identity") // RFC 9110, section 15.5.16
		httpjson.WriteError(w, http.StatusUnsupportedMediaType, errEncoded.Error())
	case errors.Is(err, errTooLarge), errors.As(err, &tooLarge):
		httpjson.WriteError(w, http.StatusRequestEntityTooLarge, errTooLarge.Error())
	case errors.Is(err, errTooManyBodies):
		httpjson.WriteError(w, http.StatusTooManyRequests, errTooManyBodies.Error())
	case errors.Is(err, errTooManyRequests):
		httpjson.WriteError(w, http.StatusServiceUnavailable, errTooManyRequests.Error())
	case errors.Is(err, os.ErrDeadlineExceeded):
		httpjson.WriteError(w, http.StatusRequestTimeout, "the body did not arrive in time")
	default:
		httpjson.WriteError(w, http.StatusBadRequest, broken)
	}
}

// parseForm reads the parameters into r.Form: from the query, and from the body
// of a POST if it is a form. A body of another type has none.
//
// A body without a type is taken for a form, as RFC 9110, section 8.3, allows: these
// endpoints read nothing else, and backends that write requests themselves often name
// no type. That is as safe as forms: pages of other sites may send those anyway.
func parseForm(w http.ResponseWriter, r *http.Request) error {
	if r.Method == http.MethodPost && isEncoded(r) {
		return errEncoded
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxFormBytes)
	if r.Header.Get("Content-Type") == "" {
		r.Header.Set("Content-Type", contentTypeForm)
	}
	defer func() { noteGroup(w, r.Form.Get(groupName)) }()
	mediaType, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if r.Method == http.MethodPost && mediaType == "multipart/form-data" {
		// Never on disk: the body is smaller than what may be in memory.
		return r.ParseMultipartForm(2 * maxFormBytes)
	}
	return r.ParseForm()
}

func writeFormError(w http.ResponseWriter, err error) {
	writeInputError(w, err, "the parameters cannot be read: percent-encoding or form is broken")
}
