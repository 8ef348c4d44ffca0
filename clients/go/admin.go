package gotapi

import (
	"context"
	"net/http"
	"net/url"
)

// The paths of the admin API.
const (
	pathStatus = "/__/status"
	pathGroup  = "/__/group"
	pathStored = "/__/stored"
	pathPurge  = "/__/purge"
	pathConfig = "/__/config"
)

// Status describes the store and the services that use it.
type Status struct {
	// Store is zero if the store cannot be reached.
	Store StoreStatus `json:"store"`
	// Service is the history service that answered; zero if none did.
	Service ServiceStatus `json:"service"`
	// Services are the history services that the edge is connected to. It is empty if the
	// edge shares a process with its history service.
	Services []ServiceProcess `json:"services"`
	// Edges are the edges that the history services know.
	Edges []EdgeStatus `json:"edges"`
	// Alarms are the problems of the store, the services and the edges.
	Alarms []Alarm `json:"alarms"`
}

// StoreStatus describes the store. In a Redis Cluster, numbers are sums over its masters.
type StoreStatus struct {
	// Kind is "redis", "valkey" or "embedded", which is within the server's process.
	Kind    string `json:"kind"`
	Version string `json:"version"`
	// Mode is "single", "sentinel" or "cluster".
	Mode      string `json:"mode"`
	Nodes     int    `json:"nodes"`
	UsedBytes int64  `json:"usedBytes"`
	// MaxBytes is 0 if there is no limit.
	MaxBytes       int64  `json:"maxBytes"`
	EvictionPolicy string `json:"evictionPolicy"`
	EvictedKeys    int64  `json:"evictedKeys"`
	Clients        int64  `json:"clients"`
	Replicas       int64  `json:"replicas"`
	// Uptime is in seconds.
	Uptime int64 `json:"uptime"`
}

// ServiceStatus describes a history service. Its uptime is in seconds.
type ServiceStatus struct {
	// Host is where it listens.
	Host    string `json:"host"`
	Version string `json:"version"`
	Commit  string `json:"commit"`
	Uptime  int64  `json:"uptime"`
}

// ServiceProcess is a history service as an edge knows it.
type ServiceProcess struct {
	// Address is where the edge reaches it, Host where it says that it listens.
	Address string `json:"address"`
	Host    string `json:"host"`
	Version string `json:"version"`
	Commit  string `json:"commit"`
	// Silent reports whether it does not answer.
	Silent bool `json:"silent"`
	// Streams is how many edges it serves.
	Streams int `json:"streams"`
}

// EdgeStatus describes one edge.
type EdgeStatus struct {
	ID string `json:"id"`
	// Host is where it listens. Host, Version and Commit are empty if unknown.
	Host    string `json:"host"`
	Version string `json:"version"`
	Commit  string `json:"commit"`
	Members int64  `json:"members"`
	Groups  int    `json:"groups"`
}

// Alarm is a problem that an operator must solve.
type Alarm struct {
	// Name is the name of an alert in docs/operations.md.
	Name string `json:"name"`
	// Text is one line: what is wrong, and what to do.
	Text string `json:"text"`
}

// GroupReport describes a group and its size in the store.
type GroupReport struct {
	Group string `json:"group"`
	// Members is the number of members on all edges.
	Members int64 `json:"members"`
	// Messages counts the messages in the history, recalled ones included.
	Messages int64 `json:"messages"`
	// Bytes is the group's memory in the store.
	Bytes int64 `json:"bytes"`
	// Seq is the number of the newest message.
	Seq     uint64 `json:"seq"`
	Recalls uint64 `json:"recalls"`
	// OldestAt and NewestAt are when the oldest and the newest message were stored, Unix
	// seconds; 0: unknown.
	OldestAt int64 `json:"oldestAt"`
	NewestAt int64 `json:"newestAt"`
	// ExpiresIn is the number of seconds until the history expires; 0: never.
	ExpiresIn int64 `json:"expiresIn"`
}

// GroupConfig is the settings of a group, as two processes have them.
type GroupConfig struct {
	Group   string        `json:"group"`
	Edge    ProcessConfig `json:"edge"`
	Service ProcessConfig `json:"service"`
}

// ProcessConfig is what one process uses for a group.
type ProcessConfig struct {
	// Host is where the process listens.
	Host string `json:"host"`
	// File is its file of settings of groups; "": it has none.
	File string `json:"file"`
	// Entry is the number of the entry that matches the group, from 1, and Match its
	// pattern; 0: none does.
	Entry    int       `json:"entry"`
	Match    string    `json:"match"`
	Settings []Setting `json:"settings"`
	// Refused is why the file cannot be used, so that what it held before is; "": it can.
	Refused string `json:"refused"`
}

// Setting is one setting in force.
type Setting struct {
	Name  string `json:"name"`
	Value string `json:"value"`
	// From is "file", the flag that it comes from, or "default".
	From string `json:"from"`
}

// StoredGroup is a group that has messages.
type StoredGroup struct {
	Name     string `json:"name"`
	Messages int64  `json:"messages"`
	// Bytes is the group's estimated memory in the store.
	Bytes int64 `json:"bytes"`
	// Seq is the number of the newest message; two readings give the rate. 0: the group's
	// messages have no numbers yet.
	Seq uint64 `json:"seq"`
}

// Status describes the store and the services. Like Group, StoredGroups and Purge, it needs
// the admin secret as token.
func (c *Client) Status(ctx context.Context) (Status, error) {
	var a struct {
		envelope
		Status
	}
	err := c.retry(ctx, request{method: http.MethodGet, path: pathStatus}, &a, putOff)
	return a.Status, err
}

// Group describes one group. An unknown group is not an error; its report is empty.
func (c *Client) Group(ctx context.Context, group string) (GroupReport, error) {
	if err := checkGroup(group); err != nil {
		return GroupReport{}, err
	}
	var a struct {
		envelope
		GroupReport
	}
	err := c.retry(ctx, request{method: http.MethodGet, path: pathGroup, query: url.Values{"groupName": {group}}}, &a, putOff)
	return a.GroupReport, err
}

// Config returns the settings of a group: those of the edge that the Client reaches, and of
// a history service.
func (c *Client) Config(ctx context.Context, group string) (GroupConfig, error) {
	if err := checkGroup(group); err != nil {
		return GroupConfig{}, err
	}
	var a struct {
		envelope
		GroupConfig
	}
	err := c.retry(ctx, request{method: http.MethodGet, path: pathConfig, query: url.Values{"groupName": {group}}}, &a, putOff)
	return a.GroupConfig, err
}

// StoredGroups returns one page of the groups that have messages, and the next page, which
// is "" after the last one. The first page is "".
func (c *Client) StoredGroups(ctx context.Context, page string) (groups []StoredGroup, next string, err error) {
	var a struct {
		envelope
		Groups []StoredGroup
		Next   string
	}
	err = c.retry(ctx, request{method: http.MethodGet, path: pathStored, query: url.Values{"page": {page}}}, &a, putOff)
	return a.Groups, a.Next, err
}

// Purge deletes all messages of a group, and returns how many it deleted. If no answer comes
// in time, the messages may or may not be deleted.
func (c *Client) Purge(ctx context.Context, group string) (messages int64, err error) {
	if err := checkGroup(group); err != nil {
		return 0, err
	}
	var a struct {
		envelope
		Messages int64
	}
	err = c.retry(ctx, request{
		method: http.MethodPost, path: pathPurge,
		body: url.Values{"groupName": {group}}.Encode(), contentType: "application/x-www-form-urlencoded",
	}, &a, certainlyNotDone)
	return a.Messages, err
}
