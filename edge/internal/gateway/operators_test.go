package gateway

import (
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/gotapi/gotapi-ws/access"
	"github.com/gotapi/gotapi-ws/internal/refusals"
	adminv1 "github.com/gotapi/gotapi-ws/proto/gen/gotapi/admin/v1"
	historyv1 "github.com/gotapi/gotapi-ws/proto/gen/gotapi/history/v1"
	relayv1 "github.com/gotapi/gotapi-ws/proto/gen/gotapi/relay/v1"
)

// adminService remembers what it was asked for, and answers with err or a bit of
// everything.
type adminService struct {
	adminv1.UnimplementedAdminServiceServer
	asked []string
	err   error
}

func (s *adminService) GetStatus(context.Context, *adminv1.GetStatusRequest) (*adminv1.GetStatusResponse, error) {
	s.asked = append(s.asked, "status")
	return &adminv1.GetStatusResponse{
		Store:   &adminv1.Store{Kind: "redis", Version: "7.0.15", Mode: "standalone", Nodes: 1, UsedBytes: 5 << 30},
		Service: &adminv1.Service{Version: "v1"},
		Edges:   []*adminv1.Edge{{Id: "ab", Members: 3, Groups: 2}},
		Alarms:  []*adminv1.Alarm{{Name: "GotapiRedisMemory", Text: "full"}},
	}, s.err
}

func (s *adminService) GetGroup(_ context.Context, r *adminv1.GetGroupRequest) (*adminv1.GetGroupResponse, error) {
	s.asked = append(s.asked, "group "+r.GetGroupName())
	return &adminv1.GetGroupResponse{GroupName: r.GetGroupName(), Members: 2, Messages: 7, Bytes: 900, Seq: 9, Recalls: 1, ExpiresIn: 60}, s.err
}

func (s *adminService) ListStoredGroups(_ context.Context, r *adminv1.ListStoredGroupsRequest) (*adminv1.ListStoredGroupsResponse, error) {
	s.asked = append(s.asked, "stored "+r.GetPage())
	return &adminv1.ListStoredGroupsResponse{Groups: []*adminv1.StoredGroup{{Name: "/a", Messages: 1, Bytes: 2, Seq: 3}}, Next: "0.7"}, s.err
}

func (s *adminService) Purge(_ context.Context, r *adminv1.PurgeRequest) (*adminv1.PurgeResponse, error) {
	s.asked = append(s.asked, "purge "+r.GetGroupName())
	return &adminv1.PurgeResponse{Messages: 7}, s.err
}

func (s *adminService) GetConfig(_ context.Context, r *adminv1.GetConfigRequest) (*adminv1.GetConfigResponse, error) {
	s.asked = append(s.asked, "config "+r.GetGroupName())
	return &adminv1.GetConfigResponse{GroupName: r.GetGroupName(), Config: &adminv1.GroupConfig{
		Host: "h:5998", File: "/f", Entry: 2, Match: "/room/*", Settings: []*adminv1.Setting{{Name: "cap", Value: "5", From: "file"}},
	}}, s.err
}

func TestOperatorsAskTheHistoryService(t *testing.T) {
	for _, tt := range []struct{ method, target, asked, want string }{
		{"GET", "/__/status", "status", `{"code":200,"store":{"kind":"redis","version":"7.0.15","mode":"standalone","nodes":1,"usedBytes":5368709120,"maxBytes":0,"evictionPolicy":"","evictedKeys":0,"clients":0,"replicas":0,"uptime":0},"service":{"host":"","version":"v1","commit":"","uptime":0},"services":[],"edges":[{"id":"1","host":"h:4998","version":"v1","commit":"c0ffee","members":0,"groups":0},{"id":"ab","host":"","version":"","commit":"","members":3,"groups":2}],"alarms":[{"name":"GotapiRedisMemory","text":"full"}]}`},
		{"GET", "/__/group?groupName=/room/1", "group /room/1", `{"code":200,"group":"/room/1","members":2,"messages":7,"bytes":900,"seq":9,"recalls":1,"oldestAt":0,"newestAt":0,"expiresIn":60}`},
		{"GET", "/__/stored?page=0.3&size=10", "stored 0.3", `{"code":200,"groups":[{"name":"/a","messages":1,"bytes":2,"seq":3}],"next":"0.7"}`},
		{"GET", "/__/config?groupName=/room/1", "config /room/1", `{"code":200,"group":"/room/1","edge":{"host":"h:4998","file":"","entry":0,"match":"","settings":[{"name":"hooks","value":"none","from":"default"}],"refused":""},"service":{"host":"h:5998","file":"/f","entry":2,"match":"/room/*","settings":[{"name":"cap","value":"5","from":"file"}],"refused":""}}`},
		{"POST", "/__/purge?groupName=/room/1", "purge /room/1", `{"code":200,"messages":7}`},
	} {
		rig := newRig(t, Options{AdminSecrets: secrets("s3cret")})
		if a := rig.do(tt.method, tt.target, "", "Authorization: Bearer s3cret"); a.code != 200 || a.body != tt.want || a.header.Get("Cache-Control") != "no-store" {
			t.Errorf("%s: got %d %s, want %s", tt.target, a.code, a.body, tt.want)
		}
		if got := strings.Join(rig.history.asked, ","); got != tt.asked {
			t.Errorf("%s: asked %q, want %q", tt.target, got, tt.asked)
		}
		rig.history.asked = nil
		for name, a := range map[string]answer{
			"nothing":     rig.do(tt.method, tt.target, ""),
			"another one": rig.do(tt.method, tt.target, "", "Authorization: Bearer guess"),
			"a page":      rig.do(tt.method, tt.target, "", "Origin: https://evil.test"),
		} {
			if a.code != 401 && a.code != 403 || a.header.Get("Access-Control-Allow-Origin") != "" {
				t.Errorf("%s with %s: %d %s", tt.target, name, a.code, a.body)
			}
		}
		if len(rig.history.asked) > 0 {
			t.Errorf("%s: asked without the secret", tt.target)
		}
		unavailable := 503
		if tt.asked == "status" {
			unavailable = 200 // that is an alarm
		}
		for code, want := range map[codes.Code]int{
			codes.Unimplemented: 503, codes.Unavailable: unavailable, codes.FailedPrecondition: 400, codes.ResourceExhausted: 429, codes.Internal: 500,
		} {
			rig.history.err = status.Error(code, "because")
			if a := rig.do(tt.method, tt.target, "", "Authorization: Bearer s3cret"); a.code != want {
				t.Errorf("%s after %v: got %d, want %d", tt.target, code, a.code, want)
			}
		}
	}
}

func TestOperatorsParametersAreChecked(t *testing.T) {
	rig := newRig(t, Options{AdminSecrets: secrets("s3cret")})
	for target, want := range map[string]string{
		"GET /__/group":                            "groupName: missing",
		"GET /__/group?groupName=room":             "groupName: ",
		"GET /__/group?groupName=/timer":           "groupName: this group keeps nothing",
		"GET /__/group?groupName=/a&uuid=u":        "uuid: not a parameter",
		"GET /__/stored?size=0":                    "size: not a whole number from 1 to 1000",
		"GET /__/stored?size=1001":                 "size: not a whole number from 1 to 1000",
		"GET /__/stored?page=%ff":                  "page: not valid UTF-8",
		"GET /__/status?groupName=/a":              "groupName: not a parameter",
		"POST /__/purge":                           "groupName: missing",
		"POST /__/purge?groupName=/a&groupName=/b": "groupName: given more than once",
		"POST /__/purge?groupName=/a&before=u":     "before: not a parameter",
	} {
		method, path, _ := strings.Cut(target, " ")
		if a := rig.do(method, path, "", "Authorization: Bearer s3cret"); a.code != 400 || !strings.Contains(a.body, want) {
			t.Errorf("%s: got %d %s, want 400 and %q", target, a.code, a.body, want)
		}
	}
	if len(rig.history.asked) > 0 {
		t.Errorf("asked %q", rig.history.asked)
	}
	if a := rig.do("GET", "/__/purge?groupName=/a", "", "Authorization: Bearer s3cret"); a.code != 405 {
		t.Errorf("purge by GET: %d", a.code)
	}
}

// TestAnAdministratorOfSomeGroupsPurgesTheseOnly: the right names groups.
func TestAnAdministratorOfSomeGroupsPurgesTheseOnly(t *testing.T) {
	key, entry := access.NewAPIKey("ops")
	path := filepath.Join(t.TempDir(), "keys")
	if err := os.WriteFile(path, []byte(entry+"    admin: [\"/room/*\"]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	rig := newRigFor(t, Options{}, access.Config{APIKeysFile: path})
	for target, want := range map[string]int{"/room/1": 200, "/other": 403} {
		if a := rig.do("POST", "/__/purge?groupName="+target, "", "X-API-Key: "+key); a.code != want {
			t.Errorf("purge of %s: got %d %s, want %d", target, a.code, a.body, want)
		}
	}
	if got := strings.Join(rig.history.asked, ","); got != "purge /room/1" {
		t.Errorf("asked %q", got)
	}
}

// TestACredentialWithoutTheRightIsNotAWrongSecret: its refusal names the right, and the
// secret still counts beside it.
func TestACredentialWithoutTheRightIsNotAWrongSecret(t *testing.T) {
	key, entry := access.NewAPIKey("ops")
	path := filepath.Join(t.TempDir(), "keys")
	if err := os.WriteFile(path, []byte(entry), 0o600); err != nil {
		t.Fatal(err)
	}
	rig := newRigFor(t, Options{AdminSecrets: secrets("s3cret")}, access.Config{APIKeysFile: path})
	const lacks = "the credential lacks the right admin"
	for _, tt := range []struct {
		query, header string
		code          int
		want          string
	}{
		{"", "Authorization: Bearer " + key, 403, lacks},
		{"", "X-API-Key: " + key, 403, lacks},
		{"&secret=guess", "X-API-Key: " + key, 403, lacks},
		{"&secret=s3cret", "X-API-Key: " + key, 200, `"code":200`},
		{"", "Authorization: Bearer guess", 403, "the admin secret is wrong"},
	} {
		a := rig.do("GET", "/__/group?groupName=/room/1"+tt.query, "", tt.header)
		if a.code != tt.code || !strings.Contains(a.body, tt.want) {
			t.Errorf("%s, %q: got %d %s, want %d and %q", tt.header[:12], tt.query, a.code, a.body, tt.code, tt.want)
		}
	}
}

// TestRefusedRequestsAreRemembered: with their reason, and without what was not refused.
func TestRefusedRequestsAreRemembered(t *testing.T) {
	rig := newRig(t, Options{AdminSecrets: secrets("s3cret")})
	log := refusals.New()
	rig.handler.(*Handler).backends.Refused = log
	rig.do("POST", "/room/1", "hello")
	for range 2 {
		rig.do("POST", "/room/1", "")
	}
	rig.do("GET", "/__/group?groupName=/room/2", "", "Authorization: Bearer guess")
	rig.history.recall = func(context.Context, *relayv1.RecallRequest) (*relayv1.RecallResponse, error) {
		return nil, status.Error(codes.NotFound, "no such message")
	}
	rig.do("POST", "/__/cancel", "groupName=/room/3&uuid=u", form)
	rig.history.page = func(context.Context, *historyv1.GetHistoryRequest) (*historyv1.GetHistoryResponse, error) {
		return nil, status.Error(codes.Canceled, "it may be asked before the client has left")
	}
	gone, leave := context.WithCancel(t.Context())
	leave() // nobody reads the answer, so nothing is refused
	rig.handler.ServeHTTP(httptest.NewRecorder(), httptest.NewRequestWithContext(gone, "GET", "/__/history?groupName=/room/4", http.NoBody))
	got := log.Entries()
	if e := got[0]; e.What != "http POST /__/cancel" || e.Group != "/room/3" || e.Code != 404 {
		t.Errorf("named by a form: %+v", e)
	}
	if got = got[1:]; len(got) != 2 {
		t.Fatalf("entries: %+v", got)
	}
	if e := got[0]; e.What != "http GET /__/group" || e.Code != 403 || e.Group != "/room/2" || e.Reason != "the admin secret is wrong" || e.Address == "" {
		t.Errorf("the newest: %+v", e)
	}
	if e := got[1]; e.What != "http POST" || e.Code != 400 || e.Group != "/room/1" || e.Count != 2 || e.Reason == "" {
		t.Errorf("the one before: %+v", e)
	}
}
