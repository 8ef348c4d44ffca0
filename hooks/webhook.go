package hooks

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"
)

// maxAnswerBytes is the largest answer that is read: that of a rewrite.
const maxAnswerBytes = 2 << 20

// webhook is where requests go.
type webhook struct {
	url    string
	secret []byte
	client *http.Client
}

func newWebhook(url string, secret []byte, connections int) *webhook {
	transport := http.DefaultTransport.(*http.Transport).Clone() //nolint:forcetypeassert // nobody replaces it here
	transport.MaxIdleConns, transport.MaxIdleConnsPerHost = connections, connections
	return &webhook{url: url, secret: secret, client: &http.Client{
		Transport: transport,
		// To the URL that the operator chose, and no other.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

func (w *webhook) close() { w.client.CloseIdleConnections() }

// send posts an event and returns the answer's body. An answer other than 2xx is
// an error.
func (w *webhook) send(ctx context.Context, e *event) ([]byte, error) {
	body, err := json.Marshal(e)
	if err != nil {
		return nil, err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, w.url, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("User-Agent", "gotapi-ws")
	w.sign(request.Header, e.id, time.Now(), body)
	response, err := w.client.Do(request)
	if err != nil {
		return nil, errors.Unwrap(err) // without the URL, which may hold a token: errors get into logs
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(response.Body, maxAnswerBytes+1))
	switch {
	case err != nil:
		return nil, err
	case response.StatusCode < 200 || response.StatusCode > 299:
		return nil, fmt.Errorf("the hook answers %s", response.Status)
	case len(answer) > maxAnswerBytes:
		return nil, errors.New("the hook's answer is too large")
	}
	return answer, nil
}

// sign adds the headers of Standard Webhooks.
func (w *webhook) sign(h http.Header, id string, at time.Time, body []byte) {
	seconds := strconv.FormatInt(at.Unix(), 10)
	h.Set("Webhook-Id", id)
	h.Set("Webhook-Timestamp", seconds)
	if w.secret == nil {
		return
	}
	mac := hmac.New(sha256.New, w.secret)
	mac.Write([]byte(id + "." + seconds + "."))
	mac.Write(body)
	h.Set("Webhook-Signature", "v1,"+base64.StdEncoding.EncodeToString(mac.Sum(nil)))
}
