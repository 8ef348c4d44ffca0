package gateway

import (
	"bytes"
	"context"
	"errors"
	"mime/multipart"
	"net"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"

	"github.com/gotapi/gotapi-ws/access"
	"github.com/gotapi/gotapi-ws/edge/internal/httpjson"
	"github.com/gotapi/gotapi-ws/edge/internal/limit"
	historyv1 "github.com/gotapi/gotapi-ws/proto/gen/gotapi/history/v1"
	relayv1 "github.com/gotapi/gotapi-ws/proto/gen/gotapi/relay/v1"
)

func TestHistoryParameters(t *testing.T) {
	want := &historyv1.GetHistoryRequest{GroupName: "/room/9527/", Position: -50, Size: proto.Int32(50)}
	const all = "groupName=/room/9527/&position=-50&size=50"
	multipartBody, multipartType := multipartForm(t)
	for _, tt := range []struct {
		name, method, target, body string
		headers                    []string
		want                       *historyv1.GetHistoryRequest
	}{
		{"form", "POST", "/__/history", all, []string{form}, want},
		{"form with charset", "POST", "/__/history", all, []string{form + "; charset=UTF-8"}, want},
		{"form without a type", "POST", "/__/history", all, nil, want},
		{"form of an empty type", "POST", "/__/history", all, []string{"Content-Type:"}, want},
		{"mixed, without a type", "POST", "/__/history?groupName=/room/9527/", "position=-50&size=50", nil, want},
		{"form, trailing slash", "POST", "/__/history/", all, []string{form}, want},
		{"query of a POST", "POST", "/__/history?" + all, "", nil, want},
		{"mixed", "POST", "/__/history?groupName=/room/9527/", "position=-50&size=50", []string{form}, want},
		{"GET", "GET", "/__/history?" + all, "", nil, want},
		{"GET, trailing slash", "GET", "/__/history/?" + all, "", nil, want},
		{"HEAD", "HEAD", "/__/history?" + all, "", nil, want},
		{"multipart", "POST", "/__/history", multipartBody, []string{"Content-Type: " + multipartType}, want},
		{"JSON body is not looked at", "POST", "/__/history?" + all, `{"size":7}`, []string{"Content-Type: application/json"}, want},
		{"percent-encoded", "GET", "/__/history?groupName=%2Froom%2F9527%2F&position=-50&size=50", "", nil, want},
		{"unknown parameters", "GET", "/__/history?" + all + "&x=1&x=2&group_name=/b", "", nil, want},
		{"method override is nothing", "POST", "/__/history?" + all, "", []string{"X-HTTP-Method-Override: DELETE"}, want},
		{"grpc headers are nothing", "GET", "/__/history?" + all, "", []string{"Grpc-Timeout: bad", "Grpc-Metadata-X: y", "TE: trailers"}, want},
		{"defaults", "GET", "/__/history?groupName=/a", "", nil, &historyv1.GetHistoryRequest{GroupName: "/a"}},
		{"size 0", "GET", "/__/history?groupName=/a&size=0", "", nil, &historyv1.GetHistoryRequest{GroupName: "/a", Size: proto.Int32(0)}},
		{"largest size", "GET", "/__/history?groupName=/a&size=10000", "", nil, &historyv1.GetHistoryRequest{GroupName: "/a", Size: proto.Int32(10000)}},
		{"before", "GET", "/__/history?groupName=/a&before=u", "", nil, &historyv1.GetHistoryRequest{GroupName: "/a", Before: "u"}},
	} {
		rig := newRig(t, Options{})
		var got *historyv1.GetHistoryRequest
		rig.history.page = func(_ context.Context, r *historyv1.GetHistoryRequest) (*historyv1.GetHistoryResponse, error) {
			got = r
			return &historyv1.GetHistoryResponse{Code: 200, Position: r.GetPosition()}, nil
		}
		a := rig.do(tt.method, tt.target, tt.body, tt.headers...)
		if a.code != 200 {
			t.Errorf("%s: got %d %s", tt.name, a.code, a.body)
			continue
		}
		tt.want.IfNoneMatch, tt.want.MaxBytes = proto.String(""), limit.MaxPageBytes // asks for a version, and for the page of HTTP
		if diff := cmp.Diff(tt.want, got, protocmp.Transform()); diff != "" {
			t.Errorf("%s: request, -want +got:\n%s", tt.name, diff)
		}
	}
}

func multipartForm(t *testing.T) (body, contentType string) {
	t.Helper()
	var b bytes.Buffer
	w := multipart.NewWriter(&b)
	for name, value := range map[string]string{"groupName": "/room/9527/", "position": "-50", "size": "50"} {
		if err := w.WriteField(name, value); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String(), w.FormDataContentType()
}

func TestHistoryAnswer(t *testing.T) {
	rig := newRig(t, Options{})
	response := &historyv1.GetHistoryResponse{Code: 200, Position: -50}
	rig.history.page = func(context.Context, *historyv1.GetHistoryRequest) (*historyv1.GetHistoryResponse, error) {
		return response, nil
	}
	for _, tt := range []struct {
		data []string
		next *int32
		want string
	}{
		{nil, nil, `{"code":200,"position":-50,"msg":"","data":[]}`},
		{[]string{data, "<\u2028\x01>"}, proto.Int32(-3), `{"code":200,"position":-50,"msg":"","data":["{\"type\":2,\"uuid\":\"u1\",\"body\":{\"data\":\"x\"}}","<\u2028\u0001>"],"next":-3}`},
		{[]string{""}, proto.Int32(0), `{"code":200,"position":-50,"msg":"","data":[""],"next":0}`},
	} {
		response.Data, response.Next = tt.data, tt.next
		got := rig.do("GET", "/__/history?groupName=/a&position=-50", "")
		if got.code != 200 || got.body != tt.want || got.header.Get("Content-Type") != "application/json" {
			t.Errorf("data %q: got %d (%s)\n%s\nwant\n%s", tt.data, got.code, got.header.Get("Content-Type"), got.body, tt.want)
		}
	}
}

func TestBadParameters(t *testing.T) {
	rig := newRig(t, Options{AdminSecrets: secrets("s")})
	for _, tt := range []struct{ method, target, body, names string }{
		{"POST", "/__/history", "", "groupName: missing"},
		{"POST", "/__/history", "groupName=", "groupName: missing"},
		{"GET", "/__/history?groupName=a", "", "groupName: "},
		{"GET", "/__/history?groupName=/a{", "", "groupName: "},
		{"GET", "/__/history?groupName=/__/a", "", "groupName: "},
		{"GET", "/__/history?groupName=/timer", "", "groupName: this group keeps nothing"},
		{"GET", "/__/history?groupName=/a&groupName=/a", "", "groupName: given more than once"},
		{"POST", "/__/history?groupName=/a", "groupName=/a", "groupName: given more than once"},
		{"GET", "/__/history?groupName=/a&position=x", "", "position: "},
		{"GET", "/__/history?groupName=/a&position=1&position=1", "", "position: given more than once"},
		{"GET", "/__/history?groupName=/a&position=", "", "position: "},
		{"GET", "/__/history?groupName=/a&position=1.0", "", "position: "},
		{"GET", "/__/history?groupName=/a&position=2147483648", "", "position: "},
		{"GET", "/__/history?groupName=/a&size=-1", "", "size: "},
		{"GET", "/__/history?groupName=/a&size=10001", "", "size: "},
		{"GET", "/__/history?groupName=/a&size=1e3", "", "size: "},
		{"GET", "/__/history?groupName=%zz", "", "the parameters"},
		{"POST", "/__/history", "groupName=%zz", "the parameters"},
		{"POST", "/__/cancel", "groupName=/a", "uuid: missing"},
		{"POST", "/__/cancel", "groupName=/a&uuid=u&uuid=v", "uuid: given more than once"},
		{"POST", "/__/ttl", "groupName=/a&secret=s", "ttl: "},
		{"POST", "/__/ttl", "groupName=/a&secret=s&ttl=0", "ttl: "},
		{"POST", "/__/ttl", "groupName=/a&secret=s&ttl=-5", "ttl: "},
		{"POST", "/__/ttl", "groupName=/a&secret=s&secret=s&ttl=5", "secret: given more than once"},
	} {
		got := rig.do(tt.method, tt.target, tt.body, form)
		name := tt.method + " " + tt.target + " " + tt.body
		wantError(t, name, got, 400)
		if !strings.Contains(got.body, `"msg":"`+tt.names) {
			t.Errorf("%s: got %s, want it to begin with %q", name, got.body, tt.names)
		}
	}
}

func TestAMissingParameterIsAnsweredWithWhereItGoes(t *testing.T) {
	rig := newRig(t, Options{AdminSecrets: secrets("s")})
	for _, tt := range []struct{ method, target, body, header, name string }{
		{"POST", "/__/history", `{"groupName":"/a"}`, "Content-Type: application/json", "groupName"},
		{"POST", "/__/history", "groupName=/a", "Content-Type: text/plain", "groupName"},
		{"GET", "/__/history", "groupName=/a", form, "groupName"},
		{"POST", "/__/cancel?groupName=/a", "uuid=u", "Content-Type: text/plain", "uuid"},
		{"POST", "/__/ttl?groupName=/a&secret=s", `{"ttl":5}`, "Content-Type: application/json", "ttl"},
	} {
		got := rig.do(tt.method, tt.target, tt.body, tt.header)
		wantError(t, tt.target, got, 400)
		want := tt.name + ": missing; parameters go into the query string, or into the body of a POST of type application/x-www-form-urlencoded"
		if !strings.Contains(got.body, want) {
			t.Errorf("%s %s (%s): got %s, want %q", tt.method, tt.target, tt.header, got.body, want)
		}
	}
}

func TestTooLargeFormIsRefused(t *testing.T) {
	rig := newRig(t, Options{})
	got := rig.do("POST", "/__/history", "groupName=/"+strings.Repeat("a", maxFormBytes), form)
	wantError(t, "large form", got, 413)
	got = rig.do("POST", "/__/history", "groupName=/"+strings.Repeat("a", maxFormBytes))
	wantError(t, "large form without a type", got, 413)
}

func TestCancel(t *testing.T) {
	rig := newRig(t, Options{})
	var got *relayv1.RecallRequest
	rig.history.recall = func(_ context.Context, r *relayv1.RecallRequest) (*relayv1.RecallResponse, error) {
		got = r
		return &relayv1.RecallResponse{}, nil
	}
	for _, target := range []string{"/__/cancel", "/__/cancel/"} {
		a := rig.do("POST", target, "groupName=/a&uuid=u") // a bare socket names no type
		if a.code != 200 || a.body != `{"code":200,"msg":"recalled"}` {
			t.Errorf("%s: got %d %s", target, a.code, a.body)
		}
		if diff := cmp.Diff(&relayv1.RecallRequest{Group: "/a", Uuid: "u", Windowed: true}, got, protocmp.Transform()); diff != "" {
			t.Errorf("%s: request (-want +got):\n%s", target, diff)
		}
	}
}

func TestAdminSecret(t *testing.T) {
	for _, tt := range []struct {
		name       string
		configured []string
		target     string
		headers    []string
		code       int
	}{
		{"none configured", nil, "/__/groups?secret=", nil, 403},
		{"none configured, one sent", nil, "/__/groups?secret=x", nil, 403},
		{"missing", []string{"s"}, "/__/groups", nil, 401},
		{"empty", []string{"s"}, "/__/groups?secret=", nil, 401},
		{"wrong", []string{"s"}, "/__/groups?secret=t", nil, 403},
		{"a prefix", []string{"secret"}, "/__/groups?secret=secre", nil, 403},
		{"parameter", []string{"s"}, "/__/groups?secret=s", nil, 200},
		{"the new one of two", []string{"new", "old"}, "/__/groups?secret=new", nil, 200},
		{"the old one of two", []string{"new", "old"}, "/__/groups", []string{"Authorization: Bearer old"}, 200},
		{"both of two", []string{"new", "old"}, "/__/groups?secret=new%0Aold", nil, 403},
		{"no line of two", []string{"new", "old"}, "/__/groups?secret=", nil, 401},
		{"one of two lines", []string{"two\nlines"}, "/__/groups?secret=two%0Alines", nil, 200},
		{"a line of one", []string{"two\nlines"}, "/__/groups?secret=lines", nil, 403},
		{"bearer", []string{"s"}, "/__/groups/", []string{"Authorization: Bearer s"}, 200},
		{"bearer in lower case", []string{"s"}, "/__/groups", []string{"Authorization: bearer s"}, 200},
		{"wrong bearer", []string{"s"}, "/__/groups?secret=s", []string{"Authorization: Bearer t"}, 403},
		{"basic is not looked at", []string{"s"}, "/__/groups", []string{"Authorization: Basic s"}, 401},
	} {
		rig := newRig(t, Options{AdminSecrets: secrets(tt.configured...)})
		rig.history.groups = func(context.Context, *historyv1.ListGroupsRequest) (*historyv1.ListGroupsResponse, error) {
			return &historyv1.ListGroupsResponse{Code: 200}, nil
		}
		got := rig.do("GET", tt.target, "", tt.headers...)
		if got.code != tt.code {
			t.Errorf("%s: got %d %s, want %d", tt.name, got.code, got.body, tt.code)
		}
		if tt.code != 200 {
			wantError(t, tt.name, got, tt.code)
		}
	}
}

func TestSetTTL(t *testing.T) {
	rig := newRig(t, Options{AdminSecrets: secrets("s")})
	var got *historyv1.SetTTLRequest
	rig.history.ttl = func(_ context.Context, r *historyv1.SetTTLRequest) (*historyv1.SetTTLResponse, error) {
		got = r
		return &historyv1.SetTTLResponse{Code: 200, Msg: "set"}, nil
	}
	a := rig.do("POST", "/__/ttl", "groupName=/a&ttl=86400&secret=s", form)
	if a.code != 200 || a.body != `{"code":200,"msg":"set"}` || got.GetGroupName() != "/a" || got.GetTtl() != 86400 {
		t.Errorf("got %d %s for request %v", a.code, a.body, got)
	}
	wantError(t, "without secret", rig.do("POST", "/__/ttl", "groupName=/a&ttl=86400", form), 401)
}

func TestGroups(t *testing.T) {
	rig := newRig(t, Options{AdminSecrets: secrets("s")})
	rig.history.groups = func(context.Context, *historyv1.ListGroupsRequest) (*historyv1.ListGroupsResponse, error) {
		return &historyv1.ListGroupsResponse{Code: 200, Groups: []*historyv1.Group{{Name: "/a", Members: 2}, {Name: "/b\"", Members: 1}}}, nil
	}
	const (
		text  = "/a\n/b\"\n"
		asked = `{"code":200,"groups":[{"name":"/a","members":2},{"name":"/b\"","members":1}]}`
	)
	for _, tt := range []struct{ accept, want string }{
		{"", text},
		{"*/*", text},
		{"text/plain", text},
		{"application/json;q=0", text},
		{"application/json", asked},
		{"text/html, application/json;q=0.9", asked},
	} {
		headers := []string{"Authorization: Bearer s", "Content-Type: application/json"}
		if tt.accept != "" {
			headers = append(headers, "Accept: "+tt.accept)
		}
		got := rig.do("GET", "/__/groups", "", headers...)
		contentType := contentTypeText
		if tt.want == asked {
			contentType = httpjson.ContentType
		}
		if got.code != 200 || got.body != tt.want || got.header.Get("Content-Type") != contentType || !slices.Contains(got.header["Vary"], "Accept") {
			t.Errorf("Accept %q: got %d (%s, Vary %q) %q, want %q", tt.accept, got.code, got.header.Get("Content-Type"), got.header["Vary"], got.body, tt.want)
		}
	}
}

func TestEveryGRPCCodeHasAStatus(t *testing.T) {
	want := map[codes.Code]int{
		codes.InvalidArgument: 400, codes.FailedPrecondition: 400, codes.OutOfRange: 400, codes.Unauthenticated: 401,
		codes.PermissionDenied: 403, codes.NotFound: 404, codes.ResourceExhausted: 429, codes.Unavailable: 503, codes.DeadlineExceeded: 504,
	}
	rig := newRig(t, Options{})
	for c := codes.Canceled; c <= codes.Unauthenticated; c++ {
		rig.history.recall = func(context.Context, *relayv1.RecallRequest) (*relayv1.RecallResponse, error) {
			return nil, status.Error(c, "the text")
		}
		if _, ok := httpStatus[c]; !ok {
			t.Errorf("%v is not in the table", c)
		}
		if c == codes.Canceled || c == codes.Unimplemented {
			continue // what the client did itself, and what an older service says of limits
		}
		code, ok := want[c]
		if !ok {
			code = 500
		}
		got := rig.do("POST", "/__/cancel", "groupName=/a&uuid=u", form)
		wantError(t, c.String(), got, code)
		if told := strings.Contains(got.body, "the text"); told != (code < 500) {
			t.Errorf("%v: got %s, want the text only for the client's own errors", c, got.body)
		}
		if retry := got.header.Get("Retry-After"); (retry != "") != (code == 429 || code == 503) {
			t.Errorf("%v: got Retry-After %q", c, retry)
		}
	}
	if got := statusOf(99); got != 500 {
		t.Errorf("a code that does not exist yet: got %d, want 500", got)
	}
}

// asSystem is the context of a caller who may do everything.
func asSystem(t *testing.T) context.Context {
	t.Helper()
	return access.NewContext(t.Context(), access.System())
}

func TestWithoutHistoryServiceCallsAreUnavailable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		conn, err := grpc.NewClient("passthrough:///nobody", grpc.WithTransportCredentials(insecure.NewCredentials()),
			grpc.WithContextDialer(func(context.Context, string) (net.Conn, error) { return nil, errors.New("refused") }))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		f := NewForwarder(conn)
		start := time.Now()
		_, readErr := f.GetHistory(asSystem(t), &historyv1.GetHistoryRequest{GroupName: "/r"})
		_, changeErr := f.Cancel(asSystem(t), &historyv1.CancelRequest{GroupName: "/r"})
		if status.Code(readErr) != codes.Unavailable || status.Code(changeErr) != codes.Unavailable {
			t.Errorf("got errors %v and %v, want Unavailable", readErr, changeErr)
		}
		if took := time.Since(start); took != 2*callTimeout {
			t.Errorf("two calls took %v, want %v", took, 2*callTimeout)
		}
	})
}

func TestAChangeWithoutAnswerIsUnknown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hang := &historyService{
			page: func(ctx context.Context, _ *historyv1.GetHistoryRequest) (*historyv1.GetHistoryResponse, error) {
				<-ctx.Done()
				return nil, ctx.Err()
			},
			recall: func(ctx context.Context, _ *relayv1.RecallRequest) (*relayv1.RecallResponse, error) {
				<-ctx.Done()
				return nil, ctx.Err()
			},
		}
		f := NewForwarder(serve(t, hang))
		if _, err := f.GetHistory(asSystem(t), &historyv1.GetHistoryRequest{GroupName: "/r"}); status.Code(err) != codes.Unavailable {
			t.Errorf("a read: got error %v, want Unavailable", err)
		}
		if _, err := f.Cancel(asSystem(t), &historyv1.CancelRequest{GroupName: "/r"}); status.Code(err) != codes.DeadlineExceeded {
			t.Errorf("a change: got error %v, want DeadlineExceeded", err)
		}
	})
}

// Ignored, such a parameter would make the request another one.
func TestParametersInTheWrongPlaceAreRefused(t *testing.T) {
	rig := newRig(t, Options{AdminSecrets: secrets("s")})
	rig.history.page = func(context.Context, *historyv1.GetHistoryRequest) (*historyv1.GetHistoryResponse, error) {
		return &historyv1.GetHistoryResponse{Code: 200}, nil
	}
	for _, tt := range []struct{ target, wrong string }{
		{"/__/history?groupName=/a&uuid=u", "uuid"},
		{"/__/history?groupName=/a&offset=5", "offset"},
		{"/__/history?groupName=/a&ttl=5", "ttl"},
		{"/__/cancel?groupName=/a&uuid=u&before=u", "before"},
		{"/__/cancel?groupName=/a&uuid=u&after=u", "after"},
		{"/__/ttl?groupName=/a&ttl=5&size=1&secret=s", "size"},
	} {
		for _, as := range []struct{ target, body string }{
			{tt.target, ""},
			{tt.target[:strings.Index(tt.target, "?")], tt.target[strings.Index(tt.target, "?")+1:]},
		} {
			got := rig.do("POST", as.target, as.body, form)
			wantError(t, tt.target, got, 400)
			if want := tt.wrong + ": not a parameter of this endpoint"; !strings.Contains(got.body, want) {
				t.Errorf("%s, body %q: got %s, want %q", as.target, as.body, got.body, want)
			}
		}
	}
	for _, target := range []string{"/__/history?groupName=/a&after=", "/__/history?groupName=/a&meta=0", "/__/history?groupName=/a&_=17&After=u&secret=s&utm_source=x"} {
		if got := rig.do("GET", target, ""); got.code != 200 {
			t.Errorf("%s: got %d %s, want 200", target, got.code, got.body)
		}
	}
}
