package hooks

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/gotapi/gotapi-ws/internal/secretfile"
)

// maxAnswerBytes is the largest answer that is read: that of a rewrite.
const maxAnswerBytes = 2 << 20

// webhook is where requests go.
type webhook struct {
	url         string
	credentials credentials
	connections int

	mu sync.Mutex
	// Trusts the authorities of now, which are these bytes.
	client  *http.Client
	trusted []byte
}

// credentials are what hooks and service know each other by.
type credentials struct {
	// Signs requests; nil: they are not signed.
	secret *secretfile.File
	// Must have issued the certificates of hooks, PEM; nil: the machine's.
	authorities *secretfile.File
}

// reload reads the files now.
func (c *credentials) reload() {
	c.secret.Reload()
	c.authorities.Reload()
}

func (c *Config) credentials(log *slog.Logger) (all credentials, err error) {
	if all.secret, err = c.openSecret(log); err != nil {
		return all, err
	}
	all.authorities, err = secretfile.Open("-hook-ca", c.CA, parseAuthorities, log)
	return all, err
}

// parseAuthorities returns PEM that has a certificate.
func parseAuthorities(pem []byte) ([]byte, error) {
	if !x509.NewCertPool().AppendCertsFromPEM(pem) {
		return nil, errors.New("no certificate in it")
	}
	return pem, nil
}

func newWebhook(url string, known credentials, connections int) *webhook {
	return &webhook{url: url, credentials: known, connections: connections}
}

// current returns a client that trusts the authorities of now.
func (w *webhook) current() *http.Client {
	pem := w.credentials.authorities.Secret()
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.client != nil && bytes.Equal(pem, w.trusted) {
		return w.client
	}
	if w.client != nil {
		w.client.CloseIdleConnections() // to hooks that may not be trusted any more
	}
	w.client, w.trusted = newClient(pem, w.connections), pem
	return w.client
}

// newClient trusts authorities, PEM; nil: the machine's.
func newClient(pem []byte, connections int) *http.Client {
	transport := http.DefaultTransport.(*http.Transport).Clone() //nolint:forcetypeassert // it is not replaced here
	transport.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS12}
	if pem != nil {
		transport.TLSClientConfig.RootCAs = x509.NewCertPool()
		transport.TLSClientConfig.RootCAs.AppendCertsFromPEM(pem)
	}
	transport.MaxIdleConns, transport.MaxIdleConnsPerHost = connections, connections
	return &http.Client{
		Transport: transport,
		// To the URL that the operator chose, and no other.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

func (w *webhook) close() { w.current().CloseIdleConnections() }

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
	response, err := w.current().Do(request)
	if err != nil {
		return nil, errors.Unwrap(err) // without the URL, which may hold a token: errors get into logs
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(response.Body, maxAnswerBytes+1))
	switch {
	case err != nil:
		return nil, err
	case response.StatusCode < 200 || response.StatusCode > 299:
		return nil, fmt.Errorf("the hook answered %s", response.Status)
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
	secret := w.credentials.secret.Secret()
	if secret == nil {
		return
	}
	mac := hmac.New(sha256.New, secret)
	mac.Write([]byte(id + "." + seconds + "."))
	mac.Write(body)
	h.Set("Webhook-Signature", "v1,"+base64.StdEncoding.EncodeToString(mac.Sum(nil)))
}
