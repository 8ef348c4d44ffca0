package historysvc

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"slices"
	"strings"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/gotapi/gotapi-ws/access"
	"github.com/gotapi/gotapi-ws/historysvc/internal/redisstore"
	"github.com/gotapi/gotapi-ws/hooks"
	"github.com/gotapi/gotapi-ws/internal/fairshare"
	"github.com/gotapi/gotapi-ws/internal/groupsettings"
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
	// An edge's queue holds at least one page of the store.
	minEdgeQueueBytes = 1 << 20
)

// Config is the settings of a history service.
type Config struct {
	// Address of gRPC.
	Listen string
	// Files of TLS on Listen; none: plain gRPC. If authorities are set, clients need a
	// certificate from them.
	TLS tlsfiles.Paths
	// URL of Redis, in the form that redisstore.Open takes.
	Redis string
	// How long the start waits for a Redis that cannot be reached.
	RedisWait time.Duration
	// TLS to Redis; the name in its certificate ("": the host that is dialled); and
	// files of passwords, which are used instead of those in the URL.
	RedisTLS                                     tlsfiles.Paths
	RedisTLSServerName                           string
	RedisPasswordFile, RedisSentinelPasswordFile string

	// Messages that a group keeps. If the flag was set, this applies to the lists of
	// an older server, too.
	HistoryCap       int
	HistoryCapChosen bool
	// How long a group's history outlives its last message; 0: without limit. If the
	// flag was set, this applies to the lists of an older server, too.
	HistoryRetention       time.Duration
	HistoryRetentionChosen bool

	// Replicas and disks that acks wait for beyond the master, and how long.
	Acks redisstore.Acks

	// File for a log of recalls and admin actions; "-": standard output, "": none.
	AuditLog string
	// Entries of the archive; 0: no archive.
	Archive int

	// Largest packet that internal services can publish, bytes.
	MaxMessageBytes int
	// Bounds of the messages that wait for Redis, in total and of one group.
	PublishQueue fairshare.Limits
	// Bytes that may wait to be sent to one edge.
	EdgeQueueBytes int
	// How long publishes under way may take when the service stops.
	Drain time.Duration
	// Authentication and rights.
	Access access.Config
	// Webhooks before and after what is published over gRPC.
	Hooks hooks.Config
	// File with settings of single groups; "": none.
	GroupsFile string

	// Not flags.

	// Redis is an imitation in this process.
	Embedded bool
	// Serves instead of a new listener on Listen.
	Listener net.Listener
	// Also served, without TLS: pipes within this process.
	ExtraListeners []net.Listener
	// Also serves the relay, without a network, to an edge in this process; may be nil.
	ServeRelay func(context.Context, relayv1.RelayServiceServer) error
	// Called when the service listens; may be nil.
	OnReady func(addr net.Addr)
	// Makes tracers; nil: nothing is traced.
	Tracing trace.TracerProvider
	// Receives the service's readiness checks; may be nil.
	Ready *health.Checks
	// Each value makes the service read its TLS files again. No other setting can
	// change while it runs.
	Reloads <-chan *Config
}

// RegisterFlags defines the flags, with their defaults.
func (c *Config) RegisterFlags(fs *flag.FlagSet) {
	fs.StringVar(&c.Listen, "listen", "127.0.0.1:5998", "`address` to serve gRPC on, for edges and internal services")
	fs.StringVar(&c.TLS.Cert, "grpc-tls-cert", "", "`path` of the certificate chain (PEM) for gRPC; with -grpc-tls-key, the service serves gRPC only over TLS")
	fs.StringVar(&c.TLS.Key, "grpc-tls-key", "", "`path` of the key (PEM) of -grpc-tls-cert")
	fs.StringVar(&c.TLS.CA, "grpc-tls-client-ca", "",
		"`path` of a PEM file with the CAs that must have issued client certificates (mutual TLS);\nif unset, clients need no certificate")
	fs.StringVar(&c.Redis, "redis", "",
		"`URL` of Redis: redis://host:6379/0, redis+cluster://host:port[,...],\nredis+sentinel://host:port[,...]/0?master_name=NAME; rediss with TLS")
	fs.DurationVar(&c.RedisWait, "redis-wait", 30*time.Second, "maximum time to wait for Redis at the start; 0: fail at once if it cannot be reached")
	fs.StringVar(&c.RedisTLS.CA, "redis-tls-ca", "",
		"`path` of a PEM file with the CAs of Redis's certificate; if unset, the system's CAs")
	fs.StringVar(&c.RedisTLS.Cert, "redis-tls-cert", "", "`path` of the client certificate (PEM) for Redis")
	fs.StringVar(&c.RedisTLS.Key, "redis-tls-key", "", "`path` of the key (PEM) of -redis-tls-cert")
	fs.StringVar(&c.RedisTLSServerName, "redis-tls-server-name", "", "`name` to require in Redis's certificate; if unset, the host in -redis")
	fs.StringVar(&c.RedisPasswordFile, "redis-password-file", "", "`path` of a file with the password of Redis, used instead of the one in the URL")
	fs.StringVar(&c.RedisSentinelPasswordFile, "redis-sentinel-password-file", "", "`path` of a file with the password of the Sentinels")
	note(fs, &c.HistoryCapChosen, func(fs *flag.FlagSet) {
		fs.IntVar(&c.HistoryCap, "history-cap", redisstore.DefaultCap,
			"maximum number of `messages` that a group keeps; if unset, lists of an older server are not trimmed")
	})
	note(fs, &c.HistoryRetentionChosen, func(fs *flag.FlagSet) {
		fs.DurationVar(&c.HistoryRetention, "history-retention", 0,
			"how `long` a group's history outlives its last message, such as 720h; 0s: no limit;\nif unset, lists of an older server do not expire")
	})
	fs.TextVar(&c.Acks.Replicas, "ack-replicas", redisstore.Replicas(0),
		"`number` of Redis replicas that must have a message before it is acked and delivered (WAIT); all: every replica that\nSentinel or the Cluster knows; 0: only the master. With fewer than all, a replica without the acked messages may become master")
	fs.BoolVar(&c.Acks.Fsync, "ack-fsync", false,
		"ack and deliver a message only when it is on the disk of the master and of -ack-replicas (WAITAOF: Redis 7.2, Valkey);\nrequires appendfsync always; with -ack-replicas, each ack takes up to a second or two")
	fs.DurationVar(&c.Acks.Timeout, "ack-timeout", 0,
		"how `long` to wait for -ack-replicas and -ack-fsync; after that the message is stored but not acked,\nand the service waits again until the publish timeout; 0s: 1s, or 3s for both together")
	fs.IntVar(&c.Archive, "archive", 0, "approximate number of stored messages and recalls that Redis keeps in a stream for an archive job,\nper slot in a Cluster (docs/redis.md); 0: no stream")
	fs.StringVar(&c.AuditLog, "audit-log", "", "`path` of a file to append recalls and admin actions to, as JSON lines; -: standard output")
	fs.IntVar(&c.MaxMessageBytes, "max-message-bytes", 32<<10, "maximum size of a packet that internal services publish, in `bytes`")
	fs.IntVar(&c.PublishQueue.Total.Items, "publish-queue", 65_536, "maximum number of publications that wait for Redis")
	fs.IntVar(&c.PublishQueue.Total.Bytes, "publish-queue-bytes", 128<<20, "maximum size of all publications that wait for Redis, in `bytes`")
	fs.IntVar(&c.PublishQueue.Group.Items, "publish-queue-group", 8192, "maximum number of publications of one group that wait for Redis")
	fs.IntVar(&c.PublishQueue.Group.Bytes, "publish-queue-group-bytes", 8<<20, "maximum size of the publications of one group that wait for Redis, in `bytes`")
	fs.IntVar(&c.EdgeQueueBytes, "edge-queue-bytes", 16<<20, "maximum size of the queue of one edge, in `bytes`; beyond it, stored messages wait in Redis")
	c.Access.RegisterFlags(fs)
	c.Hooks.RegisterFlags(fs)
	groupsettings.RegisterFlag(fs, &c.GroupsFile)
	fs.DurationVar(&c.Drain, "drain", 5*time.Second, "maximum time for unfinished publishes when the service stops")
}

// Validate returns every invalid setting, as config.Errors.
func (c *Config) Validate() error {
	var wrong config.Errors
	check := wrong.Check
	check(c.Listener != nil || config.IsAddress(c.Listen), "-listen: %q is not an address such as 127.0.0.1:5998", c.Listen)
	check((c.TLS.Cert == "") == (c.TLS.Key == ""), "-grpc-tls-cert and -grpc-tls-key go together")
	check(c.TLS.CA == "" || c.TLS.Cert != "", "-grpc-tls-client-ca needs -grpc-tls-cert and -grpc-tls-key")
	check(c.Redis != "", "-redis: required, as redis://127.0.0.1:6379/0")
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
	check(overTLS || c.RedisTLS == (tlsfiles.Paths{}) && c.RedisTLSServerName == "", "-redis-tls-...: require TLS, that is rediss:// in -redis")
	check((c.RedisTLS.Cert == "") == (c.RedisTLS.Key == ""), "-redis-tls-cert and -redis-tls-key go together")
	check(c.Archive >= 0, "-archive: negative")
	check(c.HistoryCap >= 1, "-history-cap: less than 1")
	check(c.HistoryRetention == 0 || c.HistoryRetention >= time.Second, "-history-retention: less than 1s")
	check(c.RedisWait >= 0, "-redis-wait: negative")
	check(c.Acks.Timeout == 0 || c.Acks.Timeout >= minAckTimeout && c.Acks.Timeout <= maxAckTimeout, "-ack-timeout: must be 0s, or from %v to %v", minAckTimeout, maxAckTimeout)
	check(!c.Embedded || !c.Acks.Wanted(), "-ack-replicas, -ack-fsync: the embedded store has no replicas and no disk")
	check(c.MaxMessageBytes >= 1 && c.MaxMessageBytes <= maxMaxMessageBytes, "-max-message-bytes: not from 1 to %d", maxMaxMessageBytes)
	check(c.PublishQueue.Total.Items >= 128, "-publish-queue: less than 128")
	check(c.PublishQueue.Group.Items >= 1, "-publish-queue-group: less than 1")
	check(c.PublishQueue.Group.Bytes >= c.MaxMessageBytes+4096, "-publish-queue-group-bytes: must hold the largest message")
	check(c.PublishQueue.Total.Bytes >= c.PublishQueue.Group.Bytes, "-publish-queue-bytes: less than -publish-queue-group-bytes")
	check(c.EdgeQueueBytes >= minEdgeQueueBytes, "-edge-queue-bytes: less than %d", minEdgeQueueBytes)
	check(c.Drain >= 0, "-drain: negative")
	c.Access.Check(check)
	c.Hooks.Check(check)
	check(!c.Access.Checks() || c.Access.HasServiceToken() || c.TLS.CA != "",
		"-service-token-file (or -grpc-tls-client-ca) is required with -auth-...: without it, edges cannot authenticate")
	return wrong.Err()
}

// CheckFiles returns everything wrong with the files that the settings name, as
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
	wrong.Add(groupsettings.Check(c.GroupsFile, c.MaxMessageBytes))
	return wrong.Err()
}

// SecretFiles returns the paths of the files that hold secrets.
func (c *Config) SecretFiles() []string {
	return slices.Concat([]string{c.TLS.Key, c.RedisTLS.Key, c.RedisPasswordFile, c.RedisSentinelPasswordFile},
		c.Access.SecretFiles(), c.Hooks.SecretFiles())
}

// Warnings returns nothing: the history service accepts no unwise setting.
func (c *Config) Warnings() []string { return nil }

// noted is a flag.Value that records whether the flag was set.
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

// note defines in fs the flags that define defines. Setting one of them sets chosen.
func note(fs *flag.FlagSet, chosen *bool, define func(*flag.FlagSet)) {
	own := flag.NewFlagSet("", flag.ContinueOnError)
	define(own)
	own.VisitAll(func(f *flag.Flag) { fs.Var(noted{f.Value, chosen}, f.Name, f.Usage) })
}
