package edge

import (
	"context"
	"encoding/json"
	"net/http"
	"strconv"

	"github.com/gotapi/gotapi-ws/edge/internal/relay"
	"github.com/gotapi/gotapi-ws/services/program"
)

// serviceList is what /__/services answers.
type serviceList struct {
	Code int `json:"code"`
	// The edge that answers.
	Edge edgeEntry `json:"edge"`
	// The history services that it is connected to.
	Services []serviceEntry `json:"services"`
}

type edgeEntry struct {
	// Random, drawn by each edge process.
	ID      string `json:"id"`
	Version string `json:"version"`
	Commit  string `json:"commit"`
}

type serviceEntry struct {
	Address string `json:"address"`
	// Empty while it does not answer.
	Version string `json:"version"`
	Commit  string `json:"commit"`
	Silent  bool   `json:"silent"`
	// It has the stream of the edge that answers.
	Mine bool `json:"mine"`
	// How many edges it serves, and up to 1000 of them.
	Streams int         `json:"streams"`
	Edges   []edgeEntry `json:"edges"`
}

// services returns what serves /__/services.
func services(client *relay.Client) func(context.Context) ([]byte, error) {
	return func(ctx context.Context) ([]byte, error) {
		b := program.ReadBuild()
		list := serviceList{
			Code:     http.StatusOK,
			Edge:     edgeEntry{edgeID(client.Edge()), b.Version, b.Commit},
			Services: []serviceEntry{},
		}
		for _, s := range client.Services(ctx) {
			entry := serviceEntry{
				Address: s.Address, Version: s.Version, Commit: s.Commit, Silent: s.Silent, Mine: s.Mine, Streams: s.Streams, Edges: []edgeEntry{},
			}
			for _, e := range s.Edges {
				entry.Edges = append(entry.Edges, edgeEntry{edgeID(e.ID), e.Version, e.Commit})
			}
			list.Services = append(list.Services, entry)
		}
		return json.Marshal(list)
	}
}

// edgeID is as in the list of edges that report members.
func edgeID(n uint64) string { return strconv.FormatUint(n, 16) }
