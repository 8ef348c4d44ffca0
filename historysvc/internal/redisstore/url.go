package redisstore

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

// How long Redis may take. A lane waits this long for its pipeline.
const (
	dialTimeout = 2 * time.Second
	callTimeout = 2 * time.Second
	// The imitation interprets scripts in this very process: ten mebibytes of
	// history take it seconds when the machine is busy.
	embeddedTimeout = 10 * time.Second
	// Lanes and readers each take a connection of this pool for a moment.
	pipelinePool = 32
)

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
// No error contains the URL: it may hold a password. An answer may take timeout,
// unless the URL says otherwise.
func dial(rawURL string, login *Login, timeout time.Duration) (client redis.UniversalClient, cluster bool, err error) {
	u, err := parseURL(rawURL)
	if err != nil {
		return nil, false, err
	}
	scheme, mode, _ := strings.Cut(u.Scheme, "+")
	u.Scheme = scheme
	q := u.Query()
	if q.Get("cluster") == "true" {
		mode = "cluster"
	}
	q.Del("cluster")
	if mode == "" && q.Get("master_name") != "" {
		mode = "sentinel"
	}
	u.RawQuery = q.Encode()
	switch mode {
	case "cluster":
		client, err = dialCluster(u, login, timeout)
	case "sentinel":
		client, err = dialSentinel(u, login, timeout)
	case "":
		client, err = dialNode(u, login, timeout)
	default:
		err = errors.New("unknown kind of server in the scheme: want redis, redis+sentinel or redis+cluster")
	}
	if err != nil {
		return nil, false, fmt.Errorf("redis URL: %w", withoutURL(err))
	}
	return client, mode == "cluster", nil
}

// CheckURL says what is wrong with the URL of Redis; it does no I/O.
func CheckURL(rawURL string) error {
	client, _, err := dial(rawURL, &Login{}, callTimeout)
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
		return nil, errors.New("redis URL: want redis://host:port/db or another form that the documentation lists")
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
		// What is wrong may be a part of the password.
		return nil, errors.New("redis URL: malformed: in a password, / ? # @ % and the like are percent-encoded; a port is a number")
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

// skipsVerification says whether a URL asks for TLS with anybody.
func skipsVerification(raw string) bool {
	u, err := parseURL(raw)
	if err != nil || !strings.HasPrefix(u.Scheme, "rediss") {
		return false
	}
	skip := u.Query().Get("skip_verify")
	return skip != "" && skip != "false" && skip != "0"
}

// withoutURL takes the URL out of an error of net/url.
func withoutURL(err error) error {
	var e *url.Error
	if errors.As(err, &e) {
		return e.Err
	}
	return err
}

func dialNode(u *url.URL, login *Login, timeout time.Duration) (redis.UniversalClient, error) {
	o, err := redis.ParseURL(u.String())
	if err != nil {
		return nil, err
	}
	o.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
	o.MaxRetries, o.DialerRetries = -1, 1
	o.DisableIdentity, o.ContextTimeoutEnabled = true, true
	defaultTo(&o.Protocol, 2)
	defaultTo(&o.DialTimeout, dialTimeout)
	o.Dialer = login.dialer(o.TLSConfig, o.DialTimeout)
	defaultTo(&o.ReadTimeout, timeout)
	defaultTo(&o.PipelinePoolSize, pipelinePool)
	if login.Password != "" {
		o.Password = login.Password
	}
	return redis.NewClient(o), nil
}

func dialSentinel(u *url.URL, login *Login, timeout time.Duration) (redis.UniversalClient, error) {
	if u.Query().Get("master_name") == "" {
		return nil, errors.New("Sentinel needs the parameter master_name")
	}
	o, err := redis.ParseFailoverURL(u.String())
	if err != nil {
		return nil, err
	}
	if o.RouteByLatency || o.RouteRandomly || o.ReplicaOnly {
		return nil, errors.New("replicas cannot be read: they lag behind")
	}
	o.MaxRetries, o.DialerRetries = -1, 1
	o.DisableIdentity, o.ContextTimeoutEnabled = true, true
	defaultTo(&o.Protocol, 2)
	defaultTo(&o.DialTimeout, dialTimeout)
	o.Dialer = login.dialer(o.TLSConfig, o.DialTimeout)
	defaultTo(&o.ReadTimeout, timeout)
	defaultTo(&o.PipelinePoolSize, pipelinePool)
	if login.Password != "" {
		o.Password = login.Password
	}
	if login.SentinelPassword != "" {
		o.SentinelPassword = login.SentinelPassword
	}
	return redis.NewFailoverClient(o), nil
}

func dialCluster(u *url.URL, login *Login, timeout time.Duration) (redis.UniversalClient, error) {
	if strings.Trim(u.Path, "/") != "" && strings.Trim(u.Path, "/") != "0" {
		return nil, errors.New("Redis Cluster has no database numbers")
	}
	o, err := redis.ParseClusterURL(u.String())
	if err != nil {
		return nil, err
	}
	if o.ReadOnly || o.RouteByLatency || o.RouteRandomly {
		return nil, errors.New("replicas cannot be read: they lag behind")
	}
	o.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
	o.MaxRetries, o.DialerRetries = -1, 1
	o.DisableIdentity, o.ContextTimeoutEnabled, o.DisableRoutingPolicies = true, true, true
	defaultTo(&o.Protocol, 2)
	defaultTo(&o.DialTimeout, dialTimeout)
	o.Dialer = login.dialer(o.TLSConfig, o.DialTimeout)
	defaultTo(&o.ReadTimeout, timeout)
	defaultTo(&o.PipelinePoolSize, pipelinePool)
	if login.Password != "" {
		o.Password = login.Password
	}
	return redis.NewClusterClient(o), nil
}

func defaultTo[T comparable](v *T, d T) {
	var zero T
	if *v == zero {
		*v = d
	}
}
