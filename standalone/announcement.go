package standalone

import (
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
)

// announcement waits until both services listen, then writes the banner.
type announcement struct {
	cfg Config

	mu         sync.Mutex
	http, grpc net.Addr
}

func (a *announcement) httpReady(addr net.Addr) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.http = addr
	a.whenComplete()
}

func (a *announcement) grpcReady(addr net.Addr) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.grpc = addr
	a.whenComplete()
}

// whenComplete is called with mu held, once for each service.
func (a *announcement) whenComplete() {
	if a.http == nil || a.grpc == nil {
		return
	}
	if a.cfg.Out != nil {
		writeBanner(a.cfg.Out, a.http.String(), a.grpc.String(), &a.cfg)
	}
	if a.cfg.OnReady != nil {
		a.cfg.OnReady(a.http, a.grpc)
	}
}

const banner = `
gotapi-ws listens on
  {http}://{server}   WebSocket and HTTP; any path is a group, such as /room/9527/
  {grpc}          gRPC, for internal services
{store}
{access}Try in other terminals:
  npx wscat {auth}-c {ws}://{server}/room/9527/
  curl {auth}-d '{"type":2,"uuid":"thisisuuid","body":{"hash":"hello1234","data":"hello world","sent":false}}' {http}://{server}/room/9527/
  curl {auth}-d 'groupName=/room/9527/&size=50' {http}://{server}/__/history

`

// If access is checked, the commands send the variable TOKEN as their credential; an empty
// one counts as none.
const (
	accessNote = "Access is checked: set TOKEN to a token or an API key with rights to /room/9527/ (docs/protocol.md, section 9).\n"
	authHeader = `-H "Authorization: Bearer $TOKEN" `
)

// writeBanner shows a person the addresses, and commands to try. It ignores a failed write:
// the service works without the banner.
func writeBanner(w io.Writer, http, grpc string, cfg *Config) {
	store := "The history is in Redis."
	if cfg.embedded() {
		store = "The history is in the memory of this process: IT IS LOST AT EXIT. Set -redis URL to keep it."
	}
	tls := ""
	if cfg.Edge.TLSCert != "" {
		tls = "s"
	}
	access, auth := "", ""
	if cfg.Edge.Access.Checks() {
		access, auth = accessNote, authHeader
	}
	fmt.Fprint(w, strings.NewReplacer(
		"{http}", "http"+tls, "{ws}", "ws"+tls, "{server}", http+strings.TrimSuffix(cfg.Edge.BasePath, "/"), "{grpc}", grpc,
		"{store}", store, "{access}", access, "{auth}", auth,
	).Replace(banner))
}
