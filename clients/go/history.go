package gotapi

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/gotapi/gotapi-ws/clients/go/internal/timestamp"
)

// The server's own paths.
const (
	pathHistory = "/__/history"
	pathCancel  = "/__/cancel"
	pathTTL     = "/__/ttl"
	pathGroups  = "/__/groups"
	pathVersion = "/__/version"
)

// PageRequest selects a part of a group's history.
type PageRequest struct {
	// Position of the first message: 0 is the newest; negative counts from the
	// oldest, which is -1.
	Position int
	// Size is 1 to 10000; if it is zero, the server chooses (1000).
	Size int
	// Before, if not empty, replaces Position: the page begins with the message before
	// the one with this uuid.
	Before string
	// Meta asks for Page.Meta and Page.Position.
	Meta bool
}

// Page is a part of a group's history.
type Page struct {
	// Packets are texts of data packets, the newest first. Recalled messages
	// are left out, but keep their positions.
	Packets []string
	// Meta, if the request asked for it, belongs to Packets, in the same order.
	Meta []Meta
	// Position, if the request asked for Meta, is a position that includes the page: an
	// opaque text for gotapirpc's Client.WatchFrom.
	Position string
	// Next is the position of the next page; nil after the last one.
	Next *int
}

// History returns a page of a group's history. The page of an unknown group is empty.
func (c *Client) History(ctx context.Context, group string, r PageRequest) (Page, error) {
	q := url.Values{"groupName": {group}}
	if r.Size != 0 {
		q.Set("size", strconv.Itoa(r.Size))
	}
	if r.Before != "" {
		q.Set("before", r.Before)
	} else {
		q.Set("position", strconv.Itoa(r.Position))
	}
	if r.Meta {
		q.Set("meta", "1")
	}
	var page struct {
		envelope
		Data []string
		Next *int
		Meta []struct {
			Seq     uint64
			At      int64
			By, Key string
		}
		Pos string
	}
	err := c.post(ctx, group, pathHistory, q, &page)
	result := Page{Packets: page.Data, Next: page.Next, Position: page.Pos}
	for _, m := range page.Meta {
		result.Meta = append(result.Meta, Meta{Seq: m.Seq, At: timestamp.Time(m.At), By: m.By, Key: m.Key})
	}
	return result, err
}

// Recall erases a message's text from the history and notifies all members. Recalling a
// message again is harmless. An unknown message gives code 404.
func (c *Client) Recall(ctx context.Context, group, uuid string) error {
	return c.post(ctx, group, pathCancel, url.Values{"groupName": {group}, "uuid": {uuid}}, &envelope{})
}

// SetTTL sets how long a group's history outlives its last message: whole seconds, at least
// one. It needs the admin secret as token.
func (c *Client) SetTTL(ctx context.Context, group string, ttl time.Duration) error {
	seconds := strconv.FormatInt(int64(ttl/time.Second), 10)
	return c.post(ctx, group, pathTTL, url.Values{"groupName": {group}, "ttl": {seconds}}, &envelope{})
}

// post sends a form to one of the server's own paths. It retries temporary failures that
// the server reports, and leaves broken connections to the caller.
func (c *Client) post(ctx context.Context, group, path string, form url.Values, a answer) error {
	if err := checkGroup(group); err != nil {
		return err
	}
	return c.retry(ctx, request{
		method: http.MethodPost, path: path, body: form.Encode(), contentType: "application/x-www-form-urlencoded",
	}, a, putOff)
}

// GroupInfo is a group that has members now.
type GroupInfo struct {
	Name string `json:"name"`
	// Members is the number of members on all edges.
	Members int `json:"members"`
}

// Groups lists the groups that have members now. It needs the admin secret as token.
func (c *Client) Groups(ctx context.Context) ([]GroupInfo, error) {
	var list struct {
		envelope
		Groups []GroupInfo
	}
	err := c.retry(ctx, request{method: http.MethodGet, path: pathGroups, accept: "application/json"}, &list, putOff)
	return list.Groups, err
}
