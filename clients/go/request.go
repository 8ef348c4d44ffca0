package gotapi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/gotapi/gotapi-ws/internal/backoff"
)

// maxAnswer bounds the size of an answer. A page of the history has up to 8 MiB of texts,
// and escaping makes at most six bytes of each byte.
const maxAnswer = 64 << 20

// request is one exchange with the server.
type request struct {
	method, path string
	query        url.Values
	contentType  string
	body         string
	accept       string
}

// answer is the server's answer to a request.
type answer interface{ code() int }

// envelope is the part of every answer that shows whose it is: its code is the status.
type envelope struct{ Code int }

func (e *envelope) code() int { return e.Code }

// once sends a request and reads a JSON answer into a. If the server refuses the token,
// once sends the request again with a new one.
func (c *Client) once(ctx context.Context, r request, a answer) error {
	if err := c.locate(ctx); err != nil {
		return err
	}
	return c.tokens.Use(ctx, isUnauthorized, func(token string) error { return c.exchange(ctx, r, token, a) })
}

func (c *Client) exchange(ctx context.Context, r request, token string, a answer) error {
	req, err := http.NewRequestWithContext(ctx, r.method, c.base.String(), strings.NewReader(r.body))
	if err != nil {
		return err
	}
	req.URL, req.Header = c.target(r.path, r.query), bearer(token)
	for name, value := range map[string]string{"Content-Type": r.contentType, "Accept": r.accept} {
		if value != "" {
			req.Header.Set(name, value)
		}
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return withoutURL(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return fmt.Errorf("read the answer: %w", err)
	}
	if resp.StatusCode != http.StatusOK {
		return refusal(resp, body)
	}
	if json.Unmarshal(body, a) != nil || a.code() != http.StatusOK {
		return foreign(resp)
	}
	return nil
}

// retry calls once until it succeeds, fails with an error that canRetry rejects, or
// ctx ends.
func (c *Client) retry(ctx context.Context, r request, a answer, canRetry func(error) bool) error {
	for failures := 1; ; failures++ {
		err := c.once(ctx, r, a)
		if err == nil || ctx.Err() != nil || !canRetry(err) {
			return err
		}
		if backoff.Sleep(ctx, c.delay(failures, err)) != nil {
			return err // more informative than the error of ctx
		}
	}
}

// refusal makes an error of an answer that is not 200.
func refusal(resp *http.Response, body []byte) error {
	var said struct {
		envelope
		Msg string
	}
	e := foreign(resp)
	if json.Unmarshal(body, &said) == nil && said.Code == resp.StatusCode {
		e.Msg, e.Foreign = said.Msg, false
	}
	return e
}

// foreign makes an error of an answer that did not come from a gotapi-ws server.
func foreign(resp *http.Response) *Error {
	e := &Error{Code: resp.StatusCode, Msg: strings.ToLower(http.StatusText(resp.StatusCode)), Foreign: true}
	if seconds, err := strconv.Atoi(resp.Header.Get("Retry-After")); err == nil && seconds > 0 {
		e.RetryAfter = time.Duration(min(seconds, 3600)) * time.Second
	}
	return e
}

// withoutURL removes the method and the URL, which net/http puts before the cause and the
// caller knows.
func withoutURL(err error) error {
	if wrapped, ok := errors.AsType[*url.Error](err); ok {
		return wrapped.Err
	}
	return err
}
