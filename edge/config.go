package edge

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"

	"go.opentelemetry.io/otel/trace"
	"google.golang.org/grpc"

	"github.com/gotapi/gotapi-ws/access"
	"github.com/gotapi/gotapi-ws/edge/internal/historyconn"
	"github.com/gotapi/gotapi-ws/edge/internal/origin"
	"github.com/gotapi/gotapi-ws/edge/internal/pages"
	"github.com/gotapi/gotapi-ws/hooks"
	"github.com/gotapi/gotapi-ws/internal/groupsettings"
	"github.com/gotapi/gotapi-ws/internal/secretfile"
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

// Config has the settings of an edge.
type Config struct {
	// Address of HTTP and WebSockets.
	Listen string
	// Prefix of all paths of the server, such as "/chat"; "": none.
	BasePath string
	// Target of the history services, as historyconn.Dial understands it.
	History string
	// Whether to speak TLS to them, with which files and expected name.
	HistoryTLS           bool
	HistoryTLSFiles      tlsfiles.Paths
	HistoryTLSServerName string

	// The secret of the admin endpoints, or the file that holds it; at most one.
	AdminSecret     string
	AdminSecretFile string
	// Comma-separated origins whose pages may connect and read answers; "*" is any,
	// and each may hold one "*".
	AllowedOrigins string

	// Largest message, bytes.
	MaxMessageBytes int
	// How long a publication may wait for its answer.
	PublishTimeout time.Duration
	// Bounds of the publications that wait for answers, on the whole edge.
	PublishQueue      int
	PublishQueueBytes int
	// Bound of the frames that wait to be sent to one member, bytes.
	MemberQueueBytes int
	// Bound of WebSockets; 0: that of file descriptors.
	MaxConnections int
	// Groups that have members here, and that one WebSocket of gotapi.v2 may join.
	MaxGroups, ConnectionGroups int
	// WebSockets accepted per second; 0: no limit.
	UpgradeRate float64
	// Bound of HTTP requests under way, without MaxStreams.
	MaxRequests int
	// Bound of event streams and long polls under way.
	MaxStreams int
	// Size of the cache of history pages, bytes; 0: none.
	PageCache int
	// Of one client, user or group.
	Limits Limits
	// Log the end of each WebSocket.
	LogConnections bool
	// How long HTTP connections without a request are kept.
	IdleTimeout time.Duration
	// Time over which members are disconnected when the edge stops.
	Drain time.Duration

	// Files with the certificate chain and its key; both or none.
	TLSCert, TLSKey string
	// How long browsers must use only HTTPS (HSTS); 0: off.
	HSTS time.Duration
	// Address of plain HTTP that redirects to Listen; "": none.
	RedirectHTTP string

	// Rights of callers.
	Access access.Config
	// Webhooks before and after publishing.
	Hooks hooks.Config
	// File with settings of single groups; "": none.
	GroupsFile string

	// Not flags.

	// Serves instead of a new listener on Listen.
	Listener net.Listener
	// Added last when the history service is dialled.
	DialOptions []grpc.DialOption
	// Called when the edge listens; may be nil.
	OnReady func(addr net.Addr)
	// Makes tracers; nil: nothing is traced.
	Tracing trace.TracerProvider
	// Gets the readiness checks; may be nil.
	Ready *health.Checks
	// Serves what the edge shows on the operations port; may be nil.
	Ops *http.ServeMux
	// New settings; those that can change while the edge runs are used.
	Reloads <-chan *Config
}

// RegisterFlags defines the flags, with their defaults.
func (c *Config) RegisterFlags(fs *flag.FlagSet) {
	fs.StringVar(&c.Listen, "listen", "127.0.0.1:4998", "`address` to serve HTTP and WebSockets on")
	fs.StringVar(&c.BasePath, "base-path", "", "`path` prefix of every URL, such as /chat, if a proxy forwards requests with that prefix")
	fs.StringVar(&c.History, "history", "127.0.0.1:5998",
		"comma-separated `host:port` addresses of history services,\nor a gRPC target such as dns:///historysvc:5998")
	fs.BoolVar(&c.HistoryTLS, "history-tls", false, "connect to history services with TLS; the other -history-tls flags imply it")
	fs.StringVar(&c.HistoryTLSFiles.CA, "history-tls-ca", "",
		"`path` of a PEM file with the CAs of the certificates of history services;\nif unset, the system's CAs")
	fs.StringVar(&c.HistoryTLSFiles.Cert, "history-tls-cert", "", "`path` of the edge's client certificate chain (PEM) for history services")
	fs.StringVar(&c.HistoryTLSFiles.Key, "history-tls-key", "", "`path` of the key (PEM) of -history-tls-cert")
	fs.StringVar(&c.HistoryTLSServerName, "history-tls-server-name", "",
		"`name` to require in the certificates of history services; if unset, the host of -history")
	fs.StringVar(&c.AdminSecret, "admin-secret", "", "`secret` of the admin endpoints; without one, they serve only callers with the right admin")
	fs.StringVar(&c.AdminSecretFile, "admin-secret-file", "", "`path` of a file with the admin secret; to rotate it, put the old and the new secret on a line each")
	fs.StringVar(&c.AllowedOrigins, "allowed-origins", "*",
		"comma-separated `origins` whose pages may connect and read answers;\neach may contain one *, as in https://*.example.com; empty: none")
	fs.IntVar(&c.MaxMessageBytes, "max-message-bytes", 32<<10, "maximum size of a message, in `bytes`")
	fs.DurationVar(&c.PublishTimeout, "publish-timeout", 5*time.Second, "maximum time that a publication waits for its result")
	fs.IntVar(&c.PublishQueue, "publish-queue", 65_536, "maximum number of publications that wait for results; one group may have a quarter of them")
	fs.IntVar(&c.PublishQueueBytes, "publish-queue-bytes", 64<<20, "maximum size of all publications that wait for results, in `bytes`")
	fs.IntVar(&c.MemberQueueBytes, "member-queue-bytes", 1<<20, "size of the queue of one member, in `bytes`; with a full queue, it lags; the edge disconnects it when it\naccepts nothing for 5s, lags for 30s, or the backlog of its group is full")
	fs.IntVar(&c.MaxConnections, "max-connections", 0, "maximum number of WebSockets; 0: as many as the file descriptor limit allows")
	fs.IntVar(&c.MaxGroups, "max-groups", 1_000_000, "maximum number of groups with members on this edge; joins of other groups get 503")
	fs.IntVar(&c.ConnectionGroups, "limit-connection-groups", 128, "maximum number of groups that one WebSocket of gotapi.v2, or one event stream, joins; others get 429")
	fs.Float64Var(&c.UpgradeRate, "upgrade-rate", 2000,
		"maximum number of WebSockets accepted per second; others wait for up to a second, then get 503;\n0: no limit")
	fs.IntVar(&c.MaxRequests, "max-requests", 10_000, "maximum number of concurrent HTTP requests; others get 503")
	fs.IntVar(&c.MaxStreams, "max-streams", 10_000, "maximum number of concurrent event streams and long polls, besides -max-requests; others get 503")
	fs.IntVar(&c.PageCache, "page-cache", pages.DefaultBytes, "size of the cache of history pages, in `bytes`; 0: no cache")
	fs.BoolVar(&c.LogConnections, "log-connections", false,
		"log the end of each WebSocket with its reason, duration and traffic, and each refused upgrade,\nup to 20 of each in 10s; if off, log all of them at level debug; slow consumers always cause a warning")
	fs.DurationVar(&c.IdleTimeout, "http-idle-timeout", 2*time.Minute,
		"how long to keep an idle HTTP connection; make it longer than the idle timeout of a load balancer,\nwhich may otherwise send requests into closing connections")
	fs.DurationVar(&c.Drain, "drain", 10*time.Second, "time over which to disconnect members when the server stops")
	fs.StringVar(&c.TLSCert, "tls-cert", "", "`path` of the certificate chain (PEM); with -tls-key, the edge serves TLS")
	fs.StringVar(&c.TLSKey, "tls-key", "", "`path` of the key (PEM) of -tls-cert")
	fs.DurationVar(&c.HSTS, "hsts", 0, "how `long` browsers must use only HTTPS for this host (Strict-Transport-Security), such as 8760h;\n0s: off")
	c.Access.RegisterFlags(fs)
	c.Limits.registerFlags(fs)
	c.Hooks.RegisterFlags(fs)
	groupsettings.RegisterFlag(fs, &c.GroupsFile)
	fs.StringVar(&c.RedirectHTTP, "redirect-http", "", "`address` to serve plain HTTP on, only to redirect to HTTPS on the port of -listen")
	config.MarkReloadable(fs, "admin-secret", "admin-secret-file", "allowed-origins",
		"max-message-bytes", "member-queue-bytes", "max-connections", "upgrade-rate", "log-connections")
}

// Validate returns the problems of the settings: config.Errors.
func (c *Config) Validate() error {
	var wrong config.Errors
	check := wrong.Check
	check(c.Listener != nil || config.IsAddress(c.Listen), "-listen: %q is not an address such as 127.0.0.1:4998", c.Listen)
	check(isBasePath(c.basePath()) && !strings.HasPrefix(c.BasePath, "/__"), "-base-path: %q is not a path such as /chat", c.BasePath)
	if err := historyconn.CheckTarget(c.History); err != nil {
		check(false, "-history: %v", err)
	}
	check(c.AdminSecret == "" || c.AdminSecretFile == "", "-admin-secret and -admin-secret-file: set only one")
	for _, o := range c.origins() {
		check(isOrigin(o), "-allowed-origins: %q is not an origin such as https://example.com", o)
	}
	check(c.MaxMessageBytes >= 1 && c.MaxMessageBytes <= maxMaxMessageBytes, "-max-message-bytes: not from 1 to %d", maxMaxMessageBytes)
	check(c.PublishTimeout >= 100*time.Millisecond && c.PublishTimeout <= writeTimeout/2, "-publish-timeout: not from 100ms to %v", writeTimeout/2)
	check(c.PublishQueue >= 4, "-publish-queue: less than 4")
	check(c.PublishQueueBytes/4 >= c.MaxMessageBytes+4096, "-publish-queue-bytes: must hold four of the largest messages, and 4096 bytes more for each")
	check(c.MemberQueueBytes >= minQueueBytes && c.MemberQueueBytes >= 4*c.MaxMessageBytes,
		"-member-queue-bytes: less than %d, or than four of the largest messages", minQueueBytes)
	check(c.MaxConnections >= 0, "-max-connections: negative")
	check(c.MaxGroups >= 1, "-max-groups: less than 1")
	check(c.ConnectionGroups >= 1, "-limit-connection-groups: less than 1")
	for _, why := range c.Limits.faults() {
		check(false, "%s", why)
	}
	check(c.MaxRequests >= 1, "-max-requests: less than 1")
	check(c.MaxStreams >= 1, "-max-streams: less than 1")
	check(c.PageCache >= 0, "-page-cache: negative")
	check(c.UpgradeRate >= 0, "-upgrade-rate: negative")
	check(c.IdleTimeout >= time.Second, "-http-idle-timeout: less than 1s")
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

// CheckFiles returns the problems of the files that the settings name: config.Errors.
func (c *Config) CheckFiles() error {
	var wrong config.Errors
	_, err := c.secrets()
	wrong.Add(err)
	wrong.Add(c.checkCertificates())
	c.Access.CheckFiles(wrong.Add)
	wrong.Add(c.Hooks.CheckFiles())
	wrong.Add(groupsettings.Check(c.GroupsFile, c.MaxMessageBytes))
	return wrong.Err()
}

// SecretFiles returns the paths of the files that hold secrets.
func (c *Config) SecretFiles() []string {
	return slices.Concat([]string{c.AdminSecretFile, c.TLSKey, c.HistoryTLSFiles.Key}, c.Access.SecretFiles(), c.Hooks.SecretFiles())
}

// goodSecretBytes is the length below which an admin secret causes a warning: 128 bits
// in base64 have 22. It is no error, since servers that have such a secret must start after
// an update, too.
const goodSecretBytes = 20

// Warnings returns what is valid, but not wise.
func (c *Config) Warnings() []string {
	setting := "-admin-secret-file"
	if c.AdminSecret != "" {
		setting = "-admin-secret"
	}
	secrets, _ := c.secrets() // CheckFiles returns the error
	var all []string
	for _, secret := range secrets {
		if len(secret) < goodSecretBytes {
			all = append(all, fmt.Sprintf("%s: a secret of %d bytes is easy to guess: use %d or more, for example from openssl rand -hex 32", setting, len(secret), goodSecretBytes))
		}
	}
	return all
}

// warn logs the warnings.
func (c *Config) warn(ctx context.Context, log *slog.Logger) {
	for _, warning := range c.Warnings() {
		log.WarnContext(ctx, "weak setting", "warning", warning)
	}
}

// isOrigin reports whether o is "*", or scheme://host without a path.
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

// namedOrigins returns the origins of known owners: only those may use a cookie.
func (c *Config) namedOrigins() []string {
	return slices.DeleteFunc(c.origins(), func(o string) bool { return !origin.NamesOwner(o) })
}

// secrets returns the admin secret, or those of its file.
func (c *Config) secrets() ([][]byte, error) {
	if c.AdminSecretFile == "" && c.AdminSecret != "" {
		return [][]byte{[]byte(c.AdminSecret)}, nil
	}
	file, err := secretfile.ReadOptional("admin-secret-file", c.AdminSecretFile)
	return secretfile.Lines(file), err
}

// serverTLS returns nil when the edge speaks plain HTTP.
func (c *Config) serverTLS() *tlsfiles.Paths {
	if c.TLSCert == "" {
		return nil
	}
	return &tlsfiles.Paths{Cert: c.TLSCert, Key: c.TLSKey}
}

// historyTLS returns nil when the edge speaks plain gRPC to the history services.
func (c *Config) historyTLS() *tlsfiles.Paths {
	if !c.HistoryTLS && c.HistoryTLSFiles == (tlsfiles.Paths{}) && c.HistoryTLSServerName == "" {
		return nil
	}
	return &c.HistoryTLSFiles
}
