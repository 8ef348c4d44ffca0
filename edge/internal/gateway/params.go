package gateway

import (
	"errors"
	"net/url"
	"slices"
	"strconv"
	"sync"
	"unicode/utf8"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"github.com/grpc-ecosystem/grpc-gateway/v2/utilities"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	historyv1 "github.com/gotapi/gotapi-ws/proto/gen/gotapi/history/v1"
	"github.com/gotapi/gotapi-ws/wire/group"
)

// maxPageSize is the largest size of a page (docs/protocol.md, section 4).
const maxPageSize = 10000

// installParser makes the parser below that of grpc-gateway, which has only one
// for the whole process: once, so that several edges in one process do not race.
var installParser = sync.OnceFunc(func() {
	runtime.NewServeMux(runtime.SetQueryParameterParser(parser{}))
})

// parser fills requests from parameters. It is strict where the gateway's own
// guesses: a parameter given twice, or to the wrong endpoint, is an error. It ignores
// what it does not know.
type parser struct{}

// Parse implements runtime.QueryParameterParser.
func (parser) Parse(msg proto.Message, values url.Values, _ *utilities.DoubleArray) error {
	p := params{values: values}
	switch m := msg.(type) {
	case *historyv1.GetHistoryRequest:
		m.GroupName = p.group()
		m.Position = p.int32("position", -1<<31, 1<<31-1)
		if p.given("size") {
			m.Size = proto.Int32(p.int32("size", 0, maxPageSize))
		}
		m.Before = p.uuid("before", p.text("before"))
		m.After = p.uuid("after", p.text("after"))
		m.Meta = p.flag("meta")
		p.only(groupName, "position", "size", "before", "after")
	case *historyv1.CancelRequest:
		m.GroupName = p.group()
		m.Uuid = p.uuid("uuid", p.required("uuid"))
		p.only(groupName, "uuid")
	case *historyv1.SetTTLRequest:
		m.GroupName = p.group()
		m.Ttl = p.seconds("ttl")
		p.only(groupName, "ttl")
	default:
		return status.Errorf(codes.Internal, "no parameters are known for %T", msg)
	}
	return p.err
}

// groupName is the parameter that names the group.
const groupName = "groupName"

// ours are the parameters that mean something to some endpoint, to gRPC or on a
// WebSocket.
var ours = []string{groupName, "position", "offset", "size", "bytes", "before", "after", "uuid", "ttl"}

// params reads values and keeps the first error, which names the parameter.
type params struct {
	values url.Values
	err    error
}

func (p *params) fail(name, why string) {
	if p.err == nil {
		p.err = errors.New(name + ": " + why) // the gateway makes it InvalidArgument
	}
}

func (p *params) given(name string) bool { return len(p.values[name]) > 0 }

// only fails if one of ours is given that is not among names: ignored, it would turn
// the request into another one than its sender means.
func (p *params) only(names ...string) {
	for _, name := range ours {
		if slices.ContainsFunc(p.values[name], isNotEmpty) && !slices.Contains(names, name) {
			p.fail(name, "not a parameter of this endpoint")
		}
	}
}

func isNotEmpty(s string) bool { return s != "" }

func (p *params) text(name string) string {
	all := p.values[name]
	if len(all) > 1 {
		p.fail(name, "given more than once")
	}
	if len(all) == 0 {
		return ""
	}
	return all[0]
}

func (p *params) required(name string) string {
	s := p.text(name)
	if s == "" {
		// It may be in a body that is not read: say where it belongs.
		p.fail(name, "missing; parameters go into the query string, or into the body of a POST of type "+contentTypeForm)
	}
	return s
}

// uuid checks what names a message: gRPC carries valid UTF-8 only.
func (p *params) uuid(name, s string) string {
	if !utf8.ValidString(s) {
		p.fail(name, "not valid UTF-8")
	}
	return s
}

func (p *params) group() string {
	s := p.required(groupName)
	g, err := group.Parse(s)
	switch {
	case err != nil:
		p.fail(groupName, err.Error())
	case !g.Publishable():
		p.fail(groupName, "this group keeps nothing")
	}
	return s
}

// int32 returns 0 if the parameter is not given.
func (p *params) int32(name string, low, high int64) int32 {
	s := p.text(name)
	if !p.given(name) {
		return 0
	}
	n, err := strconv.ParseInt(s, 10, 32)
	if err != nil || n < low || n > high {
		p.fail(name, "not a whole number from "+strconv.FormatInt(low, 10)+" to "+strconv.FormatInt(high, 10))
	}
	return int32(n)
}

// flag is 1 or 0; 0 when absent or empty.
func (p *params) flag(name string) bool {
	s := p.text(name)
	if s != "" && s != "0" && s != "1" {
		p.fail(name, "not 0 or 1")
	}
	return s == "1"
}

func (p *params) seconds(name string) int64 {
	n, err := strconv.ParseInt(p.required(name), 10, 64)
	if err != nil || n < 1 {
		p.fail(name, "not a whole number of seconds above 0")
	}
	return n
}
