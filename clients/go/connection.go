package gotapi

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"time"
	"unicode/utf8"

	"github.com/gorilla/websocket"
)

const (
	writeTimeout = 10 * time.Second
	// Larger than the highest -max-message-bytes of a server.
	maxMessage = 4 << 20
)

// connection is one WebSocket of a member, from its dial to its end. It returns why it ended.
func (m *Member) connection(ctx context.Context, number int, tell tell) error {
	resuming := !m.options.PublishOnly && (number > 1 || m.options.After != "")
	conn, token, err := m.dial(ctx, resuming)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	// The reader ends when the connection does.
	unblock := context.AfterFunc(ctx, func() { bye(conn) })
	defer unblock()

	writer := make(chan struct{})
	go func() {
		defer close(writer)
		defer cancel()
		m.write(ctx, conn, number)
	}()
	r := reader{member: m, tell: tell, connection: number, expectAll: m.cursor.after == "" && m.cursor.beginning}
	if err = r.begin(ctx, resuming); err == nil {
		err = r.read(ctx, conn)
	}
	if isClose(err, closeExpired) {
		m.client.tokens.Reject(token, TokenExpired)
	}
	cancel()
	<-writer
	return err
}

// bye sends a close frame and closes the connection.
func bye(conn *websocket.Conn) {
	_ = conn.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(websocket.CloseNormalClosure, ""), time.Now().Add(time.Second))
	_ = conn.Close()
}

// dial opens a WebSocket, and returns the token that it was opened with.
func (m *Member) dial(ctx context.Context, resuming bool) (conn *websocket.Conn, opened string, err error) {
	if err := m.client.locate(ctx); err != nil {
		return nil, "", err
	}
	err = m.client.tokens.Use(ctx, isUnauthorized, func(token string) error {
		opened = token
		conn, err = m.dialWith(ctx, token, resuming)
		return err
	})
	return conn, opened, err
}

func (m *Member) dialWith(ctx context.Context, token string, resuming bool) (*websocket.Conn, error) {
	query := url.Values{}
	if resuming && m.cursor.isSet() {
		// A uuid that no message has makes the server send its whole history.
		after := m.cursor.after
		if after == "" {
			after = NewUUID()
		}
		query.Set("after", after)
	}
	u := m.client.target(m.group, query)
	u.Scheme = map[string]string{"http": "ws", "https": "wss"}[u.Scheme]
	conn, resp, err := m.client.handshake(ctx, u.String(), token) //nolint:bodyclose // the dialer has read and closed it
	if resp != nil && resp.StatusCode != http.StatusSwitchingProtocols && errors.Is(err, websocket.ErrBadHandshake) {
		// The dialer keeps the beginning of the body.
		body, _ := io.ReadAll(resp.Body)
		return nil, refusal(resp, body)
	}
	if err != nil {
		return nil, fmt.Errorf("connect: %w", err)
	}
	return conn, nil
}

// handshake opens a WebSocket. When ctx ends it closes the connection, because the dialer
// alone would wait for the server's answer until its timeout.
func (c *Client) handshake(ctx context.Context, url, token string) (*websocket.Conn, *http.Response, error) {
	dialer, unwatch := c.dialer, func() bool { return false }
	dialer.NetDialContext = func(dialing context.Context, network, addr string) (net.Conn, error) {
		conn, err := new(net.Dialer).DialContext(dialing, network, addr)
		if err == nil {
			unwatch = context.AfterFunc(ctx, func() { _ = conn.Close() })
		}
		return conn, err
	}
	defer func() { unwatch() }()
	return dialer.DialContext(ctx, url, bearer(token))
}

// write sends the packets of the outbox until ctx ends or the connection fails.
func (m *Member) write(ctx context.Context, conn *websocket.Conn, number int) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		o, wait := m.outbox.next(number, time.Now())
		if o == nil {
			timer.Stop()
			if wait > 0 {
				timer.Reset(wait)
			}
			select {
			case <-ctx.Done():
				return
			case <-m.outbox.wake:
			case <-timer.C:
			}
			continue
		}
		kind := websocket.TextMessage
		if o.binary {
			kind = websocket.BinaryMessage
		}
		_ = conn.SetWriteDeadline(time.Now().Add(writeTimeout))
		if conn.WriteMessage(kind, o.data) != nil {
			_ = conn.Close() // the reader says why
			return
		}
		m.outbox.written(o)
	}
}

// closeError is the end of a connection that the server closed.
type closeError struct {
	code int
	text string
}

func (e *closeError) Error() string {
	if e.text == "" {
		return fmt.Sprintf("closed by the server (%d)", e.code)
	}
	return fmt.Sprintf("closed by the server: %s (%d)", e.text, e.code)
}

// closeExpired is the close code of a connection whose token has expired.
const closeExpired = 4401

// isClose reports whether the server closed the connection with a code.
func isClose(err error, code int) bool {
	closed, ok := errors.AsType[*closeError](err)
	return ok && closed.code == code
}

// ended makes the end of a connection readable.
func ended(err error) error {
	if closed, ok := errors.AsType[*websocket.CloseError](err); ok && closed.Code != websocket.CloseAbnormalClosure {
		return &closeError{code: closed.Code, text: closed.Text}
	}
	return fmt.Errorf("connection lost: %w", err)
}

func isText(data []byte) bool { return utf8.Valid(data) }
