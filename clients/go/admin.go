package gotapi

import (
	"context"
	"net/http"
	"net/url"
)

// The paths of what operators ask.
const (
	pathStatus = "/__/status"
	pathGroup  = "/__/group"
	pathStored = "/__/stored"
	pathPurge  = "/__/purge"
	pathConfig = "/__/config"
)

// Status describes the store and the services that use it.
type Status struct {
	// Store is zero if it cannot be reached.
	Store StoreStatus `json:"store"`
	// Service is the history service that answered; zero if none did.
	Service ServiceStatus `json:"service"`
	// Services are the history services that the edge is connected to; none if it is in
	// one process with a history service.
	Services []ServiceProcess `json:"services"`
	// Edges are those that are known to them.
	Edges []EdgeStatus `json:"edges"`
	// Alarms say what is wrong with the store, the services and the edges.
	Alarms []Alarm `json:"alarms"`
}

// StoreStatus describes the store. In a Redis Cluster, numbers are sums over its masters.
type StoreStatus struct {
	// Kind is "redis", "valkey", or "embedded" for the one within a process.
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
	// Silent says that it does not answer.
	Silent bool `json:"silent"`
	// Streams is how many edges it serves.
	Streams int `json:"streams"`
}

// EdgeStatus is one edge, and what it has.
type EdgeStatus struct {
	ID string `json:"id"`
	// Host is where it listens. It, Version and Commit are empty if nobody knows them.
	Host    string `json:"host"`
	Version string `json:"version"`
	Commit  string `json:"commit"`
	Members int64  `json:"members"`
	Groups  int    `json:"groups"`
}

// Alarm is something that is wrong.
type Alarm struct {
	// Name is that of an alert of docs/operations.md.
	Name string `json:"name"`
	// Text says in one line what is wrong, and what to do.
	Text string `json:"text"`
}

// GroupReport is what a group has and costs.
type GroupReport struct {
	Group string `json:"group"`
	// Members is their number on all edges.
	Members int64 `json:"members"`
	// Messages counts places in the history, recalled messages included.
	Messages int64 `json:"messages"`
	// Bytes of the store's memory.
	Bytes int64 `json:"bytes"`
	// Seq is the number of the newest message.
	Seq     uint64 `json:"seq"`
	Recalls uint64 `json:"recalls"`
	// OldestAt and NewestAt are when the oldest and the newest message were stored, Unix
	// seconds; 0: unknown.
	OldestAt int64 `json:"oldestAt"`
	NewestAt int64 `json:"newestAt"`
	// ExpiresIn is when the history expires, in seconds from now; 0: never.
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
	// Bytes of the store's memory, estimated.
	Bytes int64 `json:"bytes"`
	// Seq is the number of the newest message: two of them tell the rate. 0: the group's
	// messages have no numbers yet.
	Seq uint64 `json:"seq"`
}

// Status describes the store and the services. It needs the admin secret as token, as
// the other methods of this file do.
func (c *Client) Status(ctx context.Context) (Status, error) {
	var a struct {
		envelope
		Status
	}
	err := c.retry(ctx, request{method: http.MethodGet, path: pathStatus}, &a, putOff)
	return a.Status, err
}

// Group describes one group, also one that has nothing.
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

// StoredGroups returns a part of the groups that have messages, and the page to go on
// with, which is "" after the last. The first page is "".
func (c *Client) StoredGroups(ctx context.Context, page string) (groups []StoredGroup, next string, err error) {
	var a struct {
		envelope
		Groups []StoredGroup
		Next   string
	}
	err = c.retry(ctx, request{method: http.MethodGet, path: pathStored, query: url.Values{"page": {page}}}, &a, putOff)
	return a.Groups, a.Next, err
}

// Purge deletes all messages of a group, and returns how many places of the history that
// were. If it has no answer in time, it may or may not have done so.
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
