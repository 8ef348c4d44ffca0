package client

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// Answer is an HTTP response that has been read.
type Answer struct {
	Code   int
	Header http.Header
	Body   string
}

// JSON reads the body into v.
func (a Answer) JSON(tb TB, v any) {
	tb.Helper()
	if err := json.Unmarshal([]byte(a.Body), v); err != nil {
		tb.Fatalf("answer %d %.200q: %v", a.Code, a.Body, err)
	}
}

// Form is the Content-Type of curl -d.
const Form = "application/x-www-form-urlencoded"

// Do sends a request with exactly that target (path and query), redirects are
// not followed. Headers are "Name: value".
func Do(tb TB, method, addr, target, body string, headers ...string) Answer {
	tb.Helper()
	var b strings.Builder
	b.WriteString(method + " " + target + " HTTP/1.1\r\nHost: " + addr + "\r\nConnection: close\r\n")
	if body != "" || method == http.MethodPost {
		b.WriteString("Content-Length: " + strconv.Itoa(len(body)) + "\r\n")
	}
	for _, h := range headers {
		b.WriteString(h + "\r\n")
	}
	return Raw(tb, method, addr, b.String()+"\r\n"+body)
}

// Raw sends those bytes and reads one response to a request of that method.
func Raw(tb TB, method, addr, request string) Answer {
	tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), Timeout)
	defer cancel()
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", addr)
	if err != nil {
		tb.Fatalf("%v", err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(Timeout))
	// The server may answer before it has read everything.
	go func() { _, _ = io.WriteString(conn, request) }()
	resp, err := http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: method})
	if err != nil {
		tb.Fatalf("%.100q to %s: %v", request, addr, err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		tb.Fatalf("%.100q to %s: %v", request, addr, err)
	}
	return Answer{Code: resp.StatusCode, Header: resp.Header, Body: string(body)}
}

// EscapePath percent-encodes a group name, but not its slashes.
func EscapePath(name string) string {
	return strings.ReplaceAll(url.PathEscape(name), "%2F", "/")
}

// Post sends a form as curl -d does.
func Post(tb TB, addr, target string, form url.Values) Answer {
	tb.Helper()
	return Do(tb, http.MethodPost, addr, target, form.Encode(), "Content-Type: "+Form)
}

// Published is the answer to a publish.
type Published struct {
	Code      int
	Group     string
	Stored    bool
	UUID      *string
	Duplicate *bool
}

// Publish posts a packet to a group and expects 200.
func Publish(tb TB, addr, group, packet string) Published {
	tb.Helper()
	a := Do(tb, http.MethodPost, addr, EscapePath(group), packet)
	if a.Code != http.StatusOK {
		tb.Fatalf("publish to %s: %d %s", group, a.Code, a.Body)
	}
	var p Published
	a.JSON(tb, &p)
	return p
}

// Page is an answer with history.
type Page struct {
	Code     int
	Position int
	Msg      *string
	Data     []string
	Next     *int
}

// History asks for a page and expects 200. pairs are names and values.
func History(tb TB, addr, group string, pairs ...string) Page {
	tb.Helper()
	a := Post(tb, addr, "/__/history", Values(append([]string{"groupName", group}, pairs...)...))
	if a.Code != http.StatusOK {
		tb.Fatalf("history of %s %v: %d %s", group, pairs, a.Code, a.Body)
	}
	var p Page
	a.JSON(tb, &p)
	return p
}

// Cancel recalls a message and returns the answer.
func Cancel(tb TB, addr, group, uuid string) Answer {
	tb.Helper()
	return Post(tb, addr, "/__/cancel", Values("groupName", group, "uuid", uuid))
}

// Values makes a form of names and values.
func Values(pairs ...string) url.Values {
	form := url.Values{}
	for i := 0; i+1 < len(pairs); i += 2 {
		form.Add(pairs[i], pairs[i+1])
	}
	return form
}
