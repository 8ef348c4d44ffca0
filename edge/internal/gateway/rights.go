package gateway

import (
	"context"
	"errors"
	"net/http"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/gotapi/gotapi-ws/access"
	"github.com/gotapi/gotapi-ws/wire/group"
)

// asCaller serves requests with their caller in the context; what the caller may
// do is checked where the group is known (Forwarder).
func (h *Handler) asCaller(next http.Handler) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		id, err := h.backends.Callers.Identify(r, false)
		if err != nil {
			writeDenied(w, err)
			return
		}
		next.ServeHTTP(w, r.WithContext(access.NewContext(r.Context(), id)))
	}
}

// mayEnter says whether a WebSocket may be opened there. The lobby is for those who
// may join some group.
func mayEnter(id *access.Identity, g group.Name) error {
	if g == group.Lobby && id.JoinsAny() {
		return nil
	}
	return id.May(access.Join, g)
}

// writeDenied answers with a refusal of package access, and returns its status.
func writeDenied(w http.ResponseWriter, err error) int {
	code, msg := http.StatusForbidden, "you may not do this"
	var denied *access.DeniedError
	if errors.As(err, &denied) {
		code, msg = denied.Status, denied.Msg
	}
	WriteError(w, code, msg)
	return code
}

// deniedCodes are the statuses of refusals for callers of gRPC.
var deniedCodes = map[int]codes.Code{
	http.StatusUnauthorized:       codes.Unauthenticated,
	http.StatusForbidden:          codes.PermissionDenied,
	http.StatusServiceUnavailable: codes.Unavailable,
}

// may checks a right of the caller whom ctx names.
func may(ctx context.Context, a access.Action, groupName string) error {
	return deniedStatus(access.FromContext(ctx).May(a, group.Name(groupName)))
}

// deniedStatus is the gRPC status of a refusal.
func deniedStatus(err error) error {
	var denied *access.DeniedError
	if err == nil || !errors.As(err, &denied) {
		return err
	}
	return status.Error(deniedCodes[denied.Status], denied.Msg)
}
