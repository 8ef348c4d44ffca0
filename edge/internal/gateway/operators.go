package gateway

import (
	"context"
	"encoding/json"
	"net/http"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/gotapi/gotapi-ws/access"
	"github.com/gotapi/gotapi-ws/access/grpcstatus"
	"github.com/gotapi/gotapi-ws/edge/internal/httpjson"
	"github.com/gotapi/gotapi-ws/internal/groupsettings"
	adminv1 "github.com/gotapi/gotapi-ws/proto/gen/gotapi/admin/v1"
	"github.com/gotapi/gotapi-ws/wire/group"
)

// The endpoints of gotapi.admin.v1 (docs/adr/0023-the-admin-api.md).
const (
	statusReportPath = "/__/status"
	groupPath        = "/__/group"
	storedPath       = "/__/stored"
	purgePath        = "/__/purge"
	configPath       = "/__/config"
)

// maxStoredGroups is the largest part of the stored groups that can be asked for.
const maxStoredGroups = 1000

// operatorEndpoints are the endpoints of gotapi.admin.v1.
func (h *Handler) operatorEndpoints() map[string]endpoint {
	admin := h.backends.History.admin
	serve := func(label string, methods []string, serve http.HandlerFunc) endpoint {
		return endpoint{label, methods, true, h.requireAdmin(serve)}
	}
	return map[string]endpoint{
		statusReportPath: serve("status_report", reading, operatorCall(h, func(p *params) *adminv1.GetStatusRequest {
			p.only()
			return &adminv1.GetStatusRequest{}
		}, h.reportStatus, reads, func(r *statusReport) any { return r })),
		groupPath: serve("group_report", reading, operatorCall(h, func(p *params) *adminv1.GetGroupRequest {
			p.only(groupName)
			return &adminv1.GetGroupRequest{GroupName: p.group()}
		}, admin.GetGroup, reads, viewGroup)),
		configPath: serve("config", reading, operatorCall(h, func(p *params) *adminv1.GetConfigRequest {
			p.only(groupName)
			return &adminv1.GetConfigRequest{GroupName: p.group()}
		}, admin.GetConfig, reads, h.viewConfig)),
		storedPath: serve("stored", reading, operatorCall(h, func(p *params) *adminv1.ListStoredGroupsRequest {
			p.only("size")
			return &adminv1.ListStoredGroupsRequest{Page: p.uuid("page", p.text("page")), Size: p.int32("size", 1, maxStoredGroups)}
		}, admin.ListStoredGroups, reads, viewStored)),
		purgePath: serve("purge", posting, operatorCall(h, func(p *params) *adminv1.PurgeRequest {
			p.only(groupName)
			return &adminv1.PurgeRequest{GroupName: p.group()}
		}, admin.Purge, changes, viewPurge)),
	}
}

// operatorCall serves one method: it reads the parameters, checks the caller's rights,
// calls a history service, and writes what view shows of the answer.
func operatorCall[Q, R any](
	h *Handler, parse func(*params) Q, method func(context.Context, Q, ...grpc.CallOption) (R, error), e effect, view func(R) any,
) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if err := parseForm(w, r); err != nil {
			writeFormError(w, err)
			return
		}
		p := params{values: r.Form}
		request := parse(&p)
		if p.err != nil {
			httpjson.WriteError(w, http.StatusBadRequest, p.err.Error())
			return
		}
		err := mayOperate(r.Context(), request)
		var answer R
		if err == nil {
			answer, err = call(r.Context(), method, request, e)
		}
		if status.Code(err) == codes.Unimplemented {
			err = status.Error(codes.Unavailable, "the history service does not know this call yet")
		}
		var body []byte
		if err == nil {
			body, err = json.Marshal(view(answer))
		}
		if err != nil {
			writeCallError(r.Context(), w, r.URL.Path, err, h.log)
			return
		}
		w.Header().Set("Cache-Control", "no-store")
		httpjson.Write(w, http.StatusOK, body)
	}
}

// mayOperate returns the gRPC status of the caller's right to a request.
func mayOperate(ctx context.Context, request any) error {
	if one, ok := request.(interface{ GetGroupName() string }); ok {
		return may(ctx, access.Admin, one.GetGroupName())
	}
	return grpcstatus.Of(access.FromContext(ctx).MayAdminister())
}

func viewGroup(r *adminv1.GetGroupResponse) any {
	return struct {
		Code      int    `json:"code"`
		Group     string `json:"group"`
		Members   int64  `json:"members"`
		Messages  int64  `json:"messages"`
		Bytes     int64  `json:"bytes"`
		Seq       uint64 `json:"seq"`
		Recalls   uint64 `json:"recalls"`
		OldestAt  int64  `json:"oldestAt"`
		NewestAt  int64  `json:"newestAt"`
		ExpiresIn int64  `json:"expiresIn"`
	}{
		http.StatusOK, r.GetGroupName(), r.GetMembers(), r.GetMessages(), r.GetBytes(), r.GetSeq(), r.GetRecalls(),
		r.GetOldestAt(), r.GetNewestAt(), r.GetExpiresIn(),
	}
}

type storedGroup struct {
	Name     string `json:"name"`
	Messages int64  `json:"messages"`
	Bytes    int64  `json:"bytes"`
	Seq      uint64 `json:"seq"`
}

func viewStored(r *adminv1.ListStoredGroupsResponse) any {
	groups := []storedGroup{}
	for _, g := range r.GetGroups() {
		groups = append(groups, storedGroup{g.GetName(), g.GetMessages(), g.GetBytes(), g.GetSeq()})
	}
	return struct {
		Code   int           `json:"code"`
		Groups []storedGroup `json:"groups"`
		Next   string        `json:"next"`
	}{http.StatusOK, groups, r.GetNext()}
}

func viewPurge(r *adminv1.PurgeResponse) any {
	return struct {
		Code     int   `json:"code"`
		Messages int64 `json:"messages"`
	}{http.StatusOK, r.GetMessages()}
}

// viewConfig shows what this edge and the history service that answered use for a group.
func (h *Handler) viewConfig(r *adminv1.GetConfigResponse) any {
	c := r.GetConfig()
	service := groupsettings.Explanation{
		Host: c.GetHost(), File: c.GetFile(), Entry: int(c.GetEntry()), Match: c.GetMatch(), Refused: c.GetRefused(),
		Settings: []groupsettings.Value{},
	}
	for _, s := range c.GetSettings() {
		service.Settings = append(service.Settings, groupsettings.Value{Name: s.GetName(), Value: s.GetValue(), From: s.GetFrom()})
	}
	return struct {
		Code    int                       `json:"code"`
		Group   string                    `json:"group"`
		Edge    groupsettings.Explanation `json:"edge"`
		Service groupsettings.Explanation `json:"service"`
	}{http.StatusOK, r.GetGroupName(), h.backends.Config(group.Name(r.GetGroupName())), service}
}
