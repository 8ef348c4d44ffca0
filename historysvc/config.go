package historysvc

import (
	"errors"
	"flag"
	"fmt"
	"net"
	"strings"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/gotapi/gotapi-ws/access"
	"github.com/gotapi/gotapi-ws/historysvc/internal/redisstore"
	"github.com/gotapi/gotapi-ws/hooks"
	relayv1 "github.com/gotapi/gotapi-ws/proto/gen/gotapi/relay/v1"
	"github.com/gotapi/gotapi-ws/services/config"
	"github.com/gotapi/gotapi-ws/services/health"
	"github.com/gotapi/gotapi-ws/services/tlsfiles"
)

// Limits of settings.
const (
	// Larger packets would not fit into the frames of the relay.
	maxMaxMessageBytes = 1 << 20
	// A publish waits for 5 s at most; Redis counts in milliseconds.
	minAckTimeout = 10 * time.Millisecond
	maxAckTimeout = 3 * time.Second
	// What waits for an edge holds at least a page of the store.
	minEdgeQueueBytes = 1 << 20
)

// Config is what a history service can be told.
type Config struct {
	// Address of gRPC.
	Listen string
	// Files of TLS on Listen; none: plain gRPC. With authorities, clients must show a
	// certificate of theirs.
	TLS tlsfiles.Paths
	// URL of Redis, as redisstore.Open understands it.
	Redis string
	// How long the start waits for a Redis that cannot be reached.
	RedisWait time.Duration
	// TLS to Redis; the name in its certificate, "": the host that is dialled; and
	// files that hold passwords, which then need not be in the URL.
	RedisTLS                                     tlsfiles.Paths
	RedisTLSServerName                           string
	RedisPasswordFile, RedisSentinelPasswordFile string

	// Messages that a group keeps, and whether somebody chose it: then it holds
	// for the lists of an older server too.
	HistoryCap       int
	HistoryCapChosen bool
	// How long a group's history outlives its last message; 0: for ever. And
	// whether somebody chose it, as above.
	HistoryRetention       time.Duration
	HistoryRetentionChosen bool

	// What acks wait for beyond the master's word: replicas, disks, and how long.
	AckReplicas int
	AckFsync    bool
	AckTimeout  time.Duration

	// File for who recalled and administered what; "-": standard output, "": nowhere.
	AuditLog string
	// Entries of the archive; 0: there is none.
	Archive int

	// Largest packet that internal services can publish, bytes.
	MaxMessageBytes int
	// Bounds of the messages that wait for Redis, in all and of one group.
	PublishQueue, PublishQueueBytes           int
	PublishQueueGroup, PublishQueueGroupBytes int
	// Bound of what waits to be sent to one edge, bytes.
	EdgeQueueBytes int
	// How long going down may take.
	Drain time.Duration
	// Who may do what.
	Access access.Config
	// Who is asked and told about what is published over gRPC.
	Hooks hooks.Config

	// Not flags.

	// Redis is an imitation in this very process.
	Embedded bool
	// Serves instead of a new listener on Listen.
	Listener net.Listener
	// Served as well, without TLS: pipes within this process.
	ExtraListeners []net.Listener
	// Is given the relay before the service listens, for an edge in this process,
	// which then needs no network; may be nil.
	OnRelay func(relayv1.RelayServiceServer)
	// Called when the service listens; may be nil.
	OnReady func(addr net.Addr)
	// Makes tracers; nil: nothing is traced.
	Tracing trace.TracerProvider
	// Is told when the service is ready for work; may be nil.
	Ready *health.Checks
	// Settings of later; nothing but the files of TLS can change while the
	// service runs, and each of these makes it look at them.
	Reloads <-chan *Config
}

// RegisterFlags defines the flags, with their defaults.
func (c *Config) RegisterFlags(fs *flag.FlagSet) {
	fs.StringVar(&c.Listen, "listen", "127.0.0.1:5998", "`address` of gRPC, for edges and internal services")
	fs.StringVar(&c.TLS.Cert, "grpc-tls-cert", "", "`path` of the certificate chain of gRPC, PEM; with -grpc-tls-key, gRPC is spoken over TLS only")
	fs.StringVar(&c.TLS.Key, "grpc-tls-key", "", "`path` of that certificate's key, PEM")
	fs.StringVar(&c.TLS.CA, "grpc-tls-client-ca", "",
		"`path` of authorities, PEM: clients must show a certificate of theirs (mutual TLS);\nnone: any client is served")
	fs.StringVar(&c.Redis, "redis", "",
		"`URL` of Redis: redis://host:6379/0, redis+cluster://host:port[,...],\nredis+sentinel://host:port[,...]/0?master_name=NAME; rediss with TLS")
	fs.DurationVar(&c.RedisWait, "redis-wait", 30*time.Second, "how long the start waits for a Redis that cannot be reached yet; 0: it fails at once")
	fs.StringVar(&c.RedisTLS.CA, "redis-tls-ca", "",
		"`path` of authorities, PEM, that Redis's certificate must come from; none: those of this machine")
	fs.StringVar(&c.RedisTLS.Cert, "redis-tls-cert", "", "`path` of the certificate that is shown to Redis, PEM")
	fs.StringVar(&c.RedisTLS.Key, "redis-tls-key", "", "`path` of that certificate's key, PEM")
	fs.StringVar(&c.RedisTLSServerName, "redis-tls-server-name", "", "`name` in Redis's certificate; none: the host that is dialled")
	fs.StringVar(&c.RedisPasswordFile, "redis-password-file", "", "`path` of a file that holds the password of Redis, instead of the URL")
	fs.StringVar(&c.RedisSentinelPasswordFile, "redis-sentinel-password-file", "", "`path` of a file that holds the password of the Sentinels")
	note(fs, &c.HistoryCapChosen, func(fs *flag.FlagSet) {
		fs.IntVar(&c.HistoryCap, "history-cap", redisstore.DefaultCap,
			"`messages` that a group keeps; lists of an older server are trimmed only if this is set")
	})
	note(fs, &c.HistoryRetentionChosen, func(fs *flag.FlagSet) {
		fs.DurationVar(&c.HistoryRetention, "history-retention", 0,
			"how `long` a group's history outlives its last message, as 720h; 0s: for ever;\nlists of an older server expire only if this is set")
	})
	fs.IntVar(&c.AckReplicas, "ack-replicas", 0,
		"a message is acked, and passed on, when this `number` of Redis replicas has it (WAIT); 0: when the master has it")
	fs.BoolVar(&c.AckFsync, "ack-fsync", false,
		"a message is acked, and passed on, when it is on the disk of the master and of -ack-replicas (WAITAOF, Redis 7.2)")
	fs.DurationVar(&c.AckTimeout, "ack-timeout", redisstore.DefaultAckTimeout,
		"how `long` to wait for these; then the message is stored, not acked, and tried again until the publish timeout")
	fs.IntVar(&c.Archive, "archive", 0, "about how many stored messages and recalls Redis keeps in a stream for a job that archives them,\nof each slot in a Cluster (docs/redis.md); 0: none")
	fs.StringVar(&c.AuditLog, "audit-log", "", "`path` of a file to which recalls and admin actions are appended, as lines of JSON; -: standard output")
	fs.IntVar(&c.MaxMessageBytes, "max-message-bytes", 32<<10, "largest packet that internal services can publish, `bytes`")
	fs.IntVar(&c.PublishQueue, "publish-queue", 65_536, "most publications that may wait for Redis")
	fs.IntVar(&c.PublishQueueBytes, "publish-queue-bytes", 128<<20, "the same, `bytes`")
	fs.IntVar(&c.PublishQueueGroup, "publish-queue-group", 8192, "most publications of one group that may wait for Redis")
	fs.IntVar(&c.PublishQueueGroupBytes, "publish-queue-group-bytes", 8<<20, "the same, `bytes`")
	fs.IntVar(&c.EdgeQueueBytes, "edge-queue-bytes", 16<<20, "most `bytes` that may wait for one edge; beyond, stored messages wait in Redis")
	c.Access.RegisterFlags(fs)
	c.Hooks.RegisterFlags(fs)
	fs.DurationVar(&c.Drain, "drain", 5*time.Second, "how long publishes under way may take to finish when the service goes down")
}

// Validate returns all that is wrong with the settings: config.Errors.
func (c *Config) Validate() error {
	var wrong config.Errors
	check := wrong.Check
	check(c.Listener != nil || config.IsAddress(c.Listen), "-listen: %q is not an address such as 127.0.0.1:5998", c.Listen)
	check((c.TLS.Cert == "") == (c.TLS.Key == ""), "-grpc-tls-cert and -grpc-tls-key go together")
	check(c.TLS.CA == "" || c.TLS.Cert != "", "-grpc-tls-client-ca needs -grpc-tls-cert and -grpc-tls-key")
	check(c.Redis != "", "-redis: must be given, as redis://127.0.0.1:6379/0")
	switch {
	case c.Redis == "":
	case !strings.Contains(c.Redis, "://"):
		wrong.Add(errors.New("-redis: not a URL such as redis://127.0.0.1:6379/0"))
	default:
		if err := redisstore.CheckURL(c.Redis); err != nil {
			wrong.Add(fmt.Errorf("-redis: %w", err))
		}
	}
	overTLS := strings.HasPrefix(c.Redis, "rediss:") || strings.HasPrefix(c.Redis, "rediss+")
	check(overTLS || c.RedisTLS == (tlsfiles.Paths{}) && c.RedisTLSServerName == "", "-redis-tls-...: -redis is not over TLS: want rediss://")
	check((c.RedisTLS.Cert == "") == (c.RedisTLS.Key == ""), "-redis-tls-cert and -redis-tls-key go together")
	check(c.Archive >= 0, "-archive: negative")
	check(c.HistoryCap >= 1, "-history-cap: less than 1")
	check(c.HistoryRetention == 0 || c.HistoryRetention >= time.Second, "-history-retention: less than 1s")
	check(c.RedisWait >= 0, "-redis-wait: negative")
	check(c.AckReplicas >= 0, "-ack-replicas: negative")
	check(c.AckTimeout >= minAckTimeout && c.AckTimeout <= maxAckTimeout, "-ack-timeout: not from %v to %v", minAckTimeout, maxAckTimeout)
	check(!c.Embedded || c.AckReplicas == 0 && !c.AckFsync, "-ack-replicas, -ack-fsync: the embedded store has no replicas and no disk")
	check(c.MaxMessageBytes >= 1 && c.MaxMessageBytes <= maxMaxMessageBytes, "-max-message-bytes: not from 1 to %d", maxMaxMessageBytes)
	check(c.PublishQueue >= 128, "-publish-queue: less than 128")
	check(c.PublishQueueGroup >= 1, "-publish-queue-group: less than 1")
	check(c.PublishQueueGroupBytes >= c.MaxMessageBytes+4096, "-publish-queue-group-bytes: does not hold the largest message")
	check(c.PublishQueueBytes >= c.PublishQueueGroupBytes, "-publish-queue-bytes: less than -publish-queue-group-bytes")
	check(c.EdgeQueueBytes >= minEdgeQueueBytes, "-edge-queue-bytes: less than %d", minEdgeQueueBytes)
	check(c.Drain >= 0, "-drain: negative")
	c.Access.Check(check)
	c.Hooks.Check(check)
	check(!c.Access.Checks() || c.Access.HasServiceToken() || c.TLS.CA != "",
		"-service-token-file (or -grpc-tls-client-ca) is needed with -auth-...: edges could not be told from strangers")
	return wrong.Err()
}

// CheckFiles returns all that is wrong with the files that the settings name:
// config.Errors.
func (c *Config) CheckFiles() error {
	var wrong config.Errors
	if c.TLS.Cert != "" {
		if err := tlsfiles.Check(c.TLS); err != nil {
			wrong.Add(fmt.Errorf("-grpc-tls-cert, -grpc-tls-key, -grpc-tls-client-ca: %w", err))
		}
	}
	wrong.Add(c.checkRedisFiles())
	c.Access.CheckFiles(wrong.Add)
	wrong.Add(c.Hooks.CheckFiles())
	return wrong.Err()
}

// noted is a flag.Value that notes whether somebody chose its value.
type noted struct {
	flag.Value
	chosen *bool
}

func (n noted) Set(s string) error {
	*n.chosen = true
	return n.Value.Set(s)
}

// String works on the zero value too, as package flag asks for.
func (n noted) String() string {
	if n.Value == nil {
		return ""
	}
	return n.Value.String()
}

// Get implements flag.Getter.
func (n noted) Get() any { return config.Get(n.Value) }

// note defines in fs the flags that define defines. chosen is set when one of
// them is.
func note(fs *flag.FlagSet, chosen *bool, define func(*flag.FlagSet)) {
	own := flag.NewFlagSet("", flag.ContinueOnError)
	define(own)
	own.VisitAll(func(f *flag.Flag) { fs.Var(noted{f.Value, chosen}, f.Name, f.Usage) })
}
