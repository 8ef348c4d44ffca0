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

	"github.com/gotapi/gotapi-ws/clients/go/internal/backoff"
)

// maxAnswer bounds what is read of an answer. A page of the history has 8 MiB
// of texts, and escaping them makes six bytes of one at most.
const maxAnswer = 64 << 20

// request is one exchange with the server.
type request struct {
	method, path string
	query        url.Values
	contentType  string
	body         string
	accept       string
}

// once sends a request and reads a JSON answer into answer.
func (c *Client) once(ctx context.Context, r request, answer any) error {
	req, err := http.NewRequestWithContext(ctx, r.method, c.base.String(), strings.NewReader(r.body))
	if err != nil {
		return err
	}
	req.URL, req.Header = c.target(r.path, r.query), c.header()
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
		return fmt.Errorf("reading the answer: %w", err)
	}
	if resp.StatusCode != http.StatusOK {
		return refusal(resp, body)
	}
	if err := json.Unmarshal(body, answer); err != nil {
		return fmt.Errorf("the answer is not that of a gotapi-ws server: %w", err)
	}
	return nil
}

// again is once, repeated while that may help and ctx lasts. may says which
// errors are worth it.
func (c *Client) again(ctx context.Context, r request, answer any, may func(error) bool) error {
	for failures := 1; ; failures++ {
		err := c.once(ctx, r, answer)
		if err == nil || ctx.Err() != nil || !may(err) {
			return err
		}
		if backoff.Sleep(ctx, c.backoff.Delay(failures, retryAfter(err))) != nil {
			return err // it says more than that the time is over
		}
	}
}

// refusal makes an error of an answer that is not 200.
func refusal(resp *http.Response, body []byte) error {
	e := &Error{Code: resp.StatusCode}
	var said struct{ Msg string }
	if json.Unmarshal(body, &said) == nil {
		e.Msg = said.Msg
	}
	if e.Msg == "" {
		e.Msg = strings.ToLower(http.StatusText(resp.StatusCode))
	}
	if seconds, err := strconv.Atoi(resp.Header.Get("Retry-After")); err == nil && seconds > 0 {
		e.RetryAfter = time.Duration(min(seconds, 3600)) * time.Second
	}
	return e
}

// withoutURL takes off what net/http puts before the cause: the method and the URL, which
// the caller knows.
func withoutURL(err error) error {
	if wrapped, ok := errors.AsType[*url.Error](err); ok {
		return wrapped.Err
	}
	return err
}
