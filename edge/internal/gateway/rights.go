package gateway

import (
	"context"
	"net/http"

	"github.com/gotapi/gotapi-ws/access"
	"github.com/gotapi/gotapi-ws/access/grpcstatus"
	"github.com/gotapi/gotapi-ws/edge/internal/httpjson"
	"github.com/gotapi/gotapi-ws/wire/group"
)

// withCaller puts the caller into the context. The Forwarder checks their rights: there
// the group is known. Before a body is awaited, right checks them for the group that the
// query names; if it names none, the body does, and callers that have the right nowhere
// are refused.
func (h *Handler) withCaller(next http.Handler, right groupRight) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		id, err := h.backends.Callers.Identify(r, false)
		if err == nil && r.ContentLength != 0 {
			name := r.URL.Query().Get(groupName)
			if g, parseErr := group.Parse(name); parseErr == nil {
				err = right.in(id, g)
			} else if name == "" {
				err = right.anywhere(id)
			}
		}
		if err != nil {
			writeDenied(w, err)
			return
		}
		setClient(r, h.backends.Limits.Key(r, id.Name()))
		next.ServeHTTP(w, r.WithContext(access.NewContext(r.Context(), id)))
	}
}

// groupRight is a right in groups.
type groupRight struct {
	in       func(*access.Identity, group.Name) error
	anywhere func(*access.Identity) error
}

var (
	mayRead = groupRight{
		in:       func(id *access.Identity, g group.Name) error { return id.May(access.Read, g) },
		anywhere: (*access.Identity).ReadsAny,
	}
	mayRecall = groupRight{
		in: func(id *access.Identity, g group.Name) error {
			_, err := id.Recall(g)
			return err
		},
		anywhere: (*access.Identity).RecallsAny,
	}
)

// writeDenied answers with a refusal of package access, and returns its status.
func writeDenied(w http.ResponseWriter, err error) int {
	code, msg := access.Refusal(err)
	httpjson.WriteError(w, code, msg)
	return code
}

// may returns the gRPC status of a right of the caller in ctx; nil if they have it.
func may(ctx context.Context, a access.Action, groupName string) error {
	return grpcstatus.Of(access.FromContext(ctx).May(a, group.Name(groupName)))
}
