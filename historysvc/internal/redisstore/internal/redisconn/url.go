package redisconn

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

const (
	dialTimeout = 2 * time.Second
	// CallTimeout is how long Redis may take to answer.
	CallTimeout = 2 * time.Second
	// The embedded server interprets scripts in this process: ten mebibytes of
	// history take it seconds when the machine is busy.
	embeddedTimeout = 10 * time.Second
	// Lanes and readers each take a connection of this pool for a moment.
	pipelinePool = 32
)

// dialSettings say how a client connects.
type dialSettings struct {
	login Login
	// How long an answer may take, unless the URL says otherwise.
	timeout time.Duration
	// What keeps the connections; nil: nothing does.
	conns *connections
	// Each command gets a new connection.
	fresh bool
}

// dial makes a client for a URL; it does no I/O. The forms are
//
//	redis://[user:password@]host[:port][/db]    one node (rediss: with TLS)
//	unix://[user:password@]/path/of/socket[?db=n]
//	redis+cluster://[user:password@]host:port[,host:port...]    Redis Cluster (rediss+cluster)
//	redis+sentinel://host:port[,host:port...][/db]?master_name=NAME    Sentinel (rediss+sentinel)
//
// The last two may also be written redis://...?cluster=true and
// redis://...?master_name=NAME. With Sentinel, user and password before the
// hosts are those of the Sentinels; those of Redis are the parameters username
// and password. All other parameters of go-redis are taken, too, for instance
// dial_timeout, read_timeout, pool_size, skip_verify.
//
// No error contains the URL: it may hold a password.
func dial(rawURL string, s dialSettings) (client redis.UniversalClient, cluster bool, err error) {
	u, mode, err := readURL(rawURL)
	if err != nil {
		return nil, false, err
	}
	switch mode {
	case modeCluster:
		client, err = dialCluster(u, &s)
	case modeSentinel:
		client, err = dialSentinel(u, &s)
	case modeSingle:
		client, err = dialNode(u, &s)
	default:
		err = errors.New("unknown scheme: use redis, redis+sentinel or redis+cluster")
	}
	if err != nil {
		return nil, false, fmt.Errorf("redis URL: %w", err)
	}
	return client, mode == modeCluster, nil
}

// readURL takes the mode out of a URL.
func readURL(rawURL string) (u *url.URL, mode string, err error) {
	if u, err = parseURL(rawURL); err != nil {
		return nil, "", err
	}
	u.Scheme, mode, _ = strings.Cut(u.Scheme, "+")
	q := u.Query()
	switch {
	case q.Get("cluster") == "true":
		mode = modeCluster
	case mode == "" && q.Get("master_name") != "":
		mode = modeSentinel
	case mode == "":
		mode = modeSingle
	}
	q.Del("cluster")
	u.RawQuery = q.Encode()
	return u, mode, nil
}

// CheckURL returns an error if the URL of Redis is invalid; it does no I/O.
func CheckURL(rawURL string) error {
	client, _, err := dial(rawURL, dialSettings{timeout: CallTimeout})
	if err != nil {
		return err
	}
	return client.Close()
}

// parseURL is url.Parse for an authority of several hosts: all but the first
// become "addr" parameters, as go-redis wants them.
func parseURL(raw string) (*url.URL, error) {
	scheme, rest, ok := strings.Cut(raw, "://")
	if !ok {
		return nil, errors.New("redis URL: not a URL such as redis://host:port/0 (docs/redis.md)")
	}
	end := strings.IndexAny(rest, "/?#")
	if end < 0 {
		end = len(rest)
	}
	authority, tail := rest[:end], rest[end:]
	user := ""
	if i := strings.LastIndexByte(authority, '@'); i >= 0 {
		user, authority = authority[:i+1], authority[i+1:]
	}
	hosts := strings.Split(authority, ",")
	u, err := url.Parse(scheme + "://" + user + hosts[0] + tail)
	if err != nil || scheme != "unix" && strings.Contains(u.Path, "@") {
		// The invalid part may belong to the password.
		return nil, errors.New("redis URL: malformed: percent-encode / ? # @ % and the like in a password; a port must be a number")
	}
	q, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return nil, errors.New("redis URL: malformed parameters")
	}
	for _, h := range hosts[1:] {
		q.Add("addr", h)
	}
	u.RawQuery = q.Encode()
	return u, nil
}

// skipsVerification reports whether a URL asks for TLS without verification.
func skipsVerification(raw string) bool {
	u, err := parseURL(raw)
	if err != nil || !strings.HasPrefix(u.Scheme, "rediss") {
		return false
	}
	skip := u.Query().Get("skip_verify")
	return skip != "" && skip != "false" && skip != "0"
}

// withoutValues rewrites the error of go-redis about a URL. The original quotes the database
// number or a parameter, which may be part of a password that is not percent-encoded. The
// result names a parameter only if go-redis knows it.
func withoutValues(u *url.URL, err error) error {
	if db := strings.Trim(u.Path, "/"); u.Scheme != "unix" && db != "" {
		if _, wrong := strconv.Atoi(db); wrong != nil {
			return errors.New("the database is not a number")
		}
	}
	text := err.Error()
	for _, name := range parameters {
		if u.Query().Has(name) && strings.Contains(text, name) {
			return fmt.Errorf("parameter %s is invalid, or applies to another kind of server", name)
		}
	}
	return errors.New("malformed, or an unknown parameter: see https://pkg.go.dev/github.com/redis/go-redis/v9#ParseURL")
}

// parameters are those of go-redis, for all kinds of servers.
var parameters = []string{
	"addr", "client_name", "conn_max_idle_time", "conn_max_lifetime", "conn_max_lifetime_jitter", "context_timeout_enabled", "db",
	"dial_timeout", "dialer_retries", "dialer_retry_timeout", "failover_status_check_timeout", "idle_timeout", "master_name",
	"max_active_conns", "max_conn_age", "max_concurrent_dials", "max_idle_conns", "max_redirects", "max_retries",
	"max_retry_backoff", "min_idle_conns", "min_retry_backoff", "password", "pool_fifo", "pool_size", "pool_timeout", "protocol", "read_only",
	"read_timeout", "replica_only", "route_by_latency", "route_randomly", "sentinel_password", "sentinel_username", "skip_verify",
	"use_disconnected_replicas", "username", "write_timeout",
}

// withoutHost dials as dial does, or without TLS if it is nil. An error about a name that
// cannot be resolved does not show it: it may be a password in the place of the host.
func withoutHost(dial dialFunc, timeout time.Duration) dialFunc {
	if dial == nil {
		dial = (&net.Dialer{Timeout: timeout}).DialContext
	}
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := dial(ctx, network, addr)
		if unknown, ok := errors.AsType[*net.DNSError](err); ok {
			anonymous := *unknown
			anonymous.Name = "the host in the URL of Redis"
			return nil, &net.OpError{Op: "dial", Net: network, Err: &anonymous}
		}
		return conn, err
	}
}

func dialNode(u *url.URL, s *dialSettings) (redis.UniversalClient, error) {
	o, err := redis.ParseURL(u.String())
	if err != nil {
		return nil, withoutValues(u, err)
	}
	o.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
	o.MaxRetries, o.DialerRetries = -1, 1
	o.DisableIdentity, o.ContextTimeoutEnabled = true, true
	defaultTo(&o.Protocol, 2)
	defaultTo(&o.DialTimeout, dialTimeout)
	o.Dialer = s.dialer(o.TLSConfig, o.DialTimeout)
	defaultTo(&o.ReadTimeout, s.timeout)
	defaultTo(&o.PipelinePoolSize, pipelinePool)
	if s.fresh {
		o.MinIdleConns, o.ConnMaxLifetime = 0, time.Nanosecond
	}
	if s.login.Password != nil {
		o.CredentialsProviderContext = s.login.credentials(o.Username)
	}
	return redis.NewClient(o), nil
}

func dialSentinel(u *url.URL, s *dialSettings) (redis.UniversalClient, error) {
	o, err := sentinelOptions(u, s)
	if err != nil {
		return nil, err
	}
	return redis.NewFailoverClient(o), nil
}

// dialSentinels makes a client of each Sentinel in a URL; none if it has none. They call
// the master name.
func dialSentinels(rawURL string, s dialSettings) (clients []*redis.SentinelClient, name string, err error) {
	u, mode, err := readURL(rawURL)
	if err != nil || mode != modeSentinel {
		return nil, "", err
	}
	o, err := sentinelOptions(u, &s)
	if err != nil {
		return nil, "", err
	}
	for _, addr := range o.SentinelAddrs {
		clients = append(clients, redis.NewSentinelClient(&redis.Options{
			Addr: addr, Username: o.SentinelUsername, Password: o.SentinelPassword, Protocol: o.Protocol,
			Dialer: o.Dialer, OnConnect: o.OnConnect, DialTimeout: o.DialTimeout, ReadTimeout: o.ReadTimeout,
			MaxRetries: o.MaxRetries, DialerRetries: o.DialerRetries, DisableIdentity: true, ContextTimeoutEnabled: true,
			MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
		}))
	}
	return clients, o.MasterName, nil
}

func sentinelOptions(u *url.URL, s *dialSettings) (*redis.FailoverOptions, error) {
	if u.Query().Get("master_name") == "" {
		return nil, errors.New("Sentinel requires the parameter master_name")
	}
	o, err := redis.ParseFailoverURL(u.String())
	if err != nil {
		return nil, withoutValues(u, err)
	}
	if o.RouteByLatency || o.RouteRandomly || o.ReplicaOnly {
		return nil, errors.New("reading from replicas is not supported: they lag behind")
	}
	o.MaxRetries, o.DialerRetries = -1, 1
	o.DisableIdentity, o.ContextTimeoutEnabled = true, true
	defaultTo(&o.Protocol, 2)
	defaultTo(&o.DialTimeout, dialTimeout)
	o.Dialer = s.dialer(o.TLSConfig, o.DialTimeout)
	defaultTo(&o.ReadTimeout, s.timeout)
	defaultTo(&o.PipelinePoolSize, pipelinePool)
	if s.fresh {
		o.MinIdleConns, o.ConnMaxLifetime = 0, time.Nanosecond
	}
	if s.login.Password != nil {
		o.CredentialsProviderContext = s.login.credentials(o.Username)
	}
	if s.login.SentinelPassword != nil {
		o.OnConnect = s.login.loginAtSentinel(o.SentinelUsername)
		o.SentinelUsername, o.SentinelPassword = "", ""
	}
	return o, nil
}

func dialCluster(u *url.URL, s *dialSettings) (redis.UniversalClient, error) {
	if strings.Trim(u.Path, "/") != "" && strings.Trim(u.Path, "/") != "0" {
		return nil, errors.New("Redis Cluster has no database numbers")
	}
	o, err := redis.ParseClusterURL(u.String())
	if err != nil {
		return nil, withoutValues(u, err)
	}
	if o.ReadOnly || o.RouteByLatency || o.RouteRandomly {
		return nil, errors.New("reading from replicas is not supported: they lag behind")
	}
	o.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
	o.MaxRetries, o.DialerRetries = -1, 1
	o.DisableIdentity, o.ContextTimeoutEnabled, o.DisableRoutingPolicies = true, true, true
	defaultTo(&o.Protocol, 2)
	defaultTo(&o.DialTimeout, dialTimeout)
	o.Dialer = s.dialer(o.TLSConfig, o.DialTimeout)
	defaultTo(&o.ReadTimeout, s.timeout)
	defaultTo(&o.PipelinePoolSize, pipelinePool)
	if s.login.Password != nil {
		o.CredentialsProviderContext = s.login.credentials(o.Username)
	}
	return redis.NewClusterClient(o), nil
}

// dialer dials, over TLS if asked is not nil.
func (s *dialSettings) dialer(asked *tls.Config, timeout time.Duration) dialFunc {
	dial := withoutHost(s.login.dialer(asked, timeout), timeout)
	if s.conns == nil {
		return dial
	}
	return s.conns.dialer(dial)
}

func defaultTo[T comparable](v *T, d T) {
	var zero T
	if *v == zero {
		*v = d
	}
}
