package edge

import (
	"flag"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"time"

	"go.opentelemetry.io/otel/trace"
	"google.golang.org/grpc"

	"github.com/gotapi/gotapi-ws/access"
	"github.com/gotapi/gotapi-ws/edge/internal/pages"
	"github.com/gotapi/gotapi-ws/edge/internal/relay"
	"github.com/gotapi/gotapi-ws/hooks"
	"github.com/gotapi/gotapi-ws/services/config"
	"github.com/gotapi/gotapi-ws/services/health"
	"github.com/gotapi/gotapi-ws/services/tlsfiles"
)

// Limits of settings.
const (
	// What one frame of the relay can carry besides others.
	maxMaxMessageBytes = 1 << 20
	// One frame counts at most a quarter of a member's queue.
	minQueueBytes = 64 << 10
)

// Config is what an edge can be told.
type Config struct {
	// Address of HTTP and WebSockets.
	Listen string
	// Target of the history services, as relay.Dial understands it.
	History string
	// Whether to speak TLS to them; the files and the name that matter then.
	HistoryTLS           bool
	HistoryTLSFiles      tlsfiles.Paths
	HistoryTLSServerName string

	// The secret of the admin endpoints, or the file that holds it; at most one.
	AdminSecret     string
	AdminSecretFile string
	// Origins whose pages may connect and read answers, with commas between
	// them; "*" is any, and each may hold one "*".
	AllowedOrigins string

	// Largest message, bytes.
	MaxMessageBytes int
	// How long a publication may wait for its answer.
	PublishTimeout time.Duration
	// Bounds of what waits for answers, on the whole edge.
	PublishQueue      int
	PublishQueueBytes int
	// Bound of what waits to be sent to one member, bytes.
	MemberQueueBytes int
	// Bound of WebSockets; 0: none.
	MaxConnections int
	// WebSockets that are accepted in a second; 0: any number.
	UpgradeRate float64
	// Bound of HTTP requests under way.
	MaxRequests int
	// Bytes of pages of history that are kept; 0: none are.
	PageCache int
	// What one client, user or group may have.
	Limits Limits
	// Whether the end of each WebSocket is worth a line in the log.
	LogConnections bool
	// How long going down may take for the members.
	Drain time.Duration

	// Files with the certificate chain and its key; both or none.
	TLSCert, TLSKey string
	// How long browsers shall insist on HTTPS; 0: they are not told to.
	HSTS time.Duration
	// Address of plain HTTP that redirects to Listen; "": none.
	RedirectHTTP string

	// Who may do what.
	Access access.Config
	// Who is asked and told about what is published.
	Hooks hooks.Config

	// Not flags.

	// Serves instead of a new listener on Listen.
	Listener net.Listener
	// Come last when the history service is dialled.
	DialOptions []grpc.DialOption
	// Called when the edge listens; may be nil.
	OnReady func(addr net.Addr)
	// Makes tracers; nil: nothing is traced.
	Tracing trace.TracerProvider
	// Is told when the edge is ready for work; may be nil.
	Ready *health.Checks
	// Settings of later: what of them can change while the edge runs is used.
	Reloads <-chan *Config
}

// RegisterFlags defines the flags, with their defaults.
func (c *Config) RegisterFlags(fs *flag.FlagSet) {
	fs.StringVar(&c.Listen, "listen", "127.0.0.1:4998", "`address` of HTTP and WebSockets")
	fs.StringVar(&c.History, "history", "127.0.0.1:5998",
		"history service: `host:port`, several with commas between them,\nor a gRPC target such as dns:///historysvc:5998")
	fs.BoolVar(&c.HistoryTLS, "history-tls", false, "speak TLS to the history services; the other -history-tls flags imply it")
	fs.StringVar(&c.HistoryTLSFiles.CA, "history-tls-ca", "",
		"`path` of the authorities, PEM, that certificates of history services must come from;\nnone: the machine's")
	fs.StringVar(&c.HistoryTLSFiles.Cert, "history-tls-cert", "", "`path` of the certificate chain, PEM, that the edge shows to history services")
	fs.StringVar(&c.HistoryTLSFiles.Key, "history-tls-key", "", "`path` of that certificate's key, PEM")
	fs.StringVar(&c.HistoryTLSServerName, "history-tls-server-name", "",
		"`name` that certificates of history services must be for; none: the host of -history")
	fs.StringVar(&c.AdminSecret, "admin-secret", "", "`secret` of the admin endpoints; none: they are off")
	fs.StringVar(&c.AdminSecretFile, "admin-secret-file", "", "`path` of a file that holds the admin secret")
	fs.StringVar(&c.AllowedOrigins, "allowed-origins", "*",
		"`origins` whose pages may connect and read answers, with commas between them;\neach may hold one *, as in https://*.example.com; none: no pages")
	fs.IntVar(&c.MaxMessageBytes, "max-message-bytes", 32<<10, "largest message, `bytes`")
	fs.DurationVar(&c.PublishTimeout, "publish-timeout", 5*time.Second, "how long a publication may wait for its answer")
	fs.IntVar(&c.PublishQueue, "publish-queue", 65_536, "most publications that may wait for answers; one group may have a quarter")
	fs.IntVar(&c.PublishQueueBytes, "publish-queue-bytes", 64<<20, "the same, `bytes`")
	fs.IntVar(&c.MemberQueueBytes, "member-queue-bytes", 1<<20, "most `bytes` that may wait for one member; beyond, it is disconnected")
	fs.IntVar(&c.MaxConnections, "max-connections", 0, "most WebSockets; 0: no limit")
	fs.Float64Var(&c.UpgradeRate, "upgrade-rate", 2000,
		"most WebSockets that are accepted in a second; more wait for up to a second, then they are\nrefused with 503; 0: no limit")
	fs.IntVar(&c.MaxRequests, "max-requests", 10_000, "most HTTP requests under way; more are refused with 503")
	fs.IntVar(&c.PageCache, "page-cache", pages.DefaultBytes, "`bytes` of pages of history that are kept, to be sent again while they hold; 0: none")
	fs.BoolVar(&c.LogConnections, "log-connections", false,
		"log the end of each WebSocket with its reason, how long it was and what it carried, up to 20 in 10 s;\nwithout it that is on level debug, where all are logged; slow consumers are a warning in any case")
	fs.DurationVar(&c.Drain, "drain", 10*time.Second, "over how long the members are disconnected when the server goes down")
	fs.StringVar(&c.TLSCert, "tls-cert", "", "`path` of the certificate chain, PEM; with -tls-key the edge speaks TLS")
	fs.StringVar(&c.TLSKey, "tls-key", "", "`path` of the certificate's key, PEM")
	fs.DurationVar(&c.HSTS, "hsts", 0, "how `long` browsers shall insist on HTTPS for this host, as 8760h (Strict-Transport-Security);\n0s: they are not told to")
	c.Access.RegisterFlags(fs)
	c.Limits.registerFlags(fs)
	c.Hooks.RegisterFlags(fs)
	fs.StringVar(&c.RedirectHTTP, "redirect-http", "", "`address` of plain HTTP that redirects to HTTPS on the port of -listen")
	config.MarkReloadable(fs, "admin-secret", "admin-secret-file", "allowed-origins",
		"max-message-bytes", "member-queue-bytes", "max-connections", "upgrade-rate", "log-connections")
}

// Validate returns all that is wrong with the settings: config.Errors.
func (c *Config) Validate() error {
	var wrong config.Errors
	check := wrong.Check
	check(c.Listener != nil || config.IsAddress(c.Listen), "-listen: %q is not an address such as 127.0.0.1:4998", c.Listen)
	if err := relay.CheckTarget(c.History); err != nil {
		check(false, "-history: %v", err)
	}
	check(c.AdminSecret == "" || c.AdminSecretFile == "", "-admin-secret and -admin-secret-file exclude each other")
	for _, o := range c.origins() {
		check(isOrigin(o), "-allowed-origins: %q is not an origin such as https://example.com", o)
	}
	check(c.MaxMessageBytes >= 1 && c.MaxMessageBytes <= maxMaxMessageBytes, "-max-message-bytes: not from 1 to %d", maxMaxMessageBytes)
	check(c.PublishTimeout >= 100*time.Millisecond && c.PublishTimeout <= writeTimeout/2, "-publish-timeout: not from 100ms to %v", writeTimeout/2)
	check(c.PublishQueue >= 4, "-publish-queue: less than 4")
	check(c.PublishQueueBytes/4 >= c.MaxMessageBytes+4096, "-publish-queue-bytes: a quarter of it does not hold the largest message")
	check(c.MemberQueueBytes >= minQueueBytes && c.MemberQueueBytes >= 4*c.MaxMessageBytes,
		"-member-queue-bytes: less than %d, or than four of the largest messages", minQueueBytes)
	check(c.MaxConnections >= 0, "-max-connections: negative")
	for _, why := range c.Limits.faults() {
		check(false, "%s", why)
	}
	check(c.MaxRequests >= 1, "-max-requests: less than 1")
	check(c.PageCache >= 0, "-page-cache: negative")
	check(c.UpgradeRate >= 0, "-upgrade-rate: negative")
	check(c.Drain >= 0, "-drain: negative")
	check((c.TLSCert == "") == (c.TLSKey == ""), "-tls-cert and -tls-key go together")
	check(c.HSTS >= 0, "-hsts: negative")
	check(c.HSTS == 0 || c.TLSCert != "", "-hsts needs -tls-cert and -tls-key")
	check((c.HistoryTLSFiles.Cert == "") == (c.HistoryTLSFiles.Key == ""), "-history-tls-cert and -history-tls-key go together")
	check(c.RedirectHTTP == "" || config.IsAddress(c.RedirectHTTP), "-redirect-http: %q is not an address such as :80", c.RedirectHTTP)
	check(c.RedirectHTTP == "" || c.TLSCert != "", "-redirect-http needs -tls-cert and -tls-key")
	c.Access.Check(check)
	c.Hooks.Check(check)
	return wrong.Err()
}

// CheckFiles returns all that is wrong with the files that the settings name:
// config.Errors.
func (c *Config) CheckFiles() error {
	var wrong config.Errors
	_, err := c.secret()
	wrong.Add(err)
	wrong.Add(c.checkTLS())
	c.Access.CheckFiles(wrong.Add)
	wrong.Add(c.Hooks.CheckFiles())
	return wrong.Err()
}

// isOrigin says whether o is "*", or scheme://host without a path.
func isOrigin(o string) bool {
	if o == "*" {
		return true
	}
	scheme, host, ok := strings.Cut(o, "://")
	return ok && scheme != "" && host != "" && !strings.ContainsAny(host, "/ ") && strings.Count(o, "*") <= 1
}

func (c *Config) origins() []string {
	var all []string
	for o := range strings.SplitSeq(c.AllowedOrigins, ",") {
		if o = strings.TrimSpace(o); o != "" {
			all = append(all, o)
		}
	}
	return all
}

// namedOrigins are the origins without "*": only those may use a cookie.
func (c *Config) namedOrigins() []string {
	return slices.DeleteFunc(c.origins(), func(o string) bool { return o == "*" })
}

// secret is the admin secret, wherever it stands.
func (c *Config) secret() (string, error) {
	if c.AdminSecretFile == "" {
		return c.AdminSecret, nil
	}
	b, err := os.ReadFile(c.AdminSecretFile)
	if err != nil {
		return "", fmt.Errorf("-admin-secret-file: %w", err)
	}
	secret := strings.TrimSpace(string(b))
	if secret == "" {
		return "", fmt.Errorf("-admin-secret-file: %s is empty", c.AdminSecretFile)
	}
	return secret, nil
}

// face is nil when the edge speaks plain HTTP.
func (c *Config) face() *tlsfiles.Paths {
	if c.TLSCert == "" {
		return nil
	}
	return &tlsfiles.Paths{Cert: c.TLSCert, Key: c.TLSKey}
}

// back is nil when the edge speaks plain gRPC to the history services.
func (c *Config) back() *tlsfiles.Paths {
	if !c.HistoryTLS && c.HistoryTLSFiles == (tlsfiles.Paths{}) && c.HistoryTLSServerName == "" {
		return nil
	}
	return &c.HistoryTLSFiles
}
