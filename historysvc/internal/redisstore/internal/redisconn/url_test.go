package redisconn

import (
	"context"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/redis/go-redis/v9"
)

func TestURLsNameEveryKindOfServer(t *testing.T) {
	for url, want := range map[string]struct {
		cluster bool
		addrs   []string
	}{
		"redis://localhost":                                      {false, []string{"localhost:6379"}},
		"redis://u:p@h:1/3":                                      {false, []string{"h:1"}},
		"rediss://h:1/3?skip_verify=true":                        {false, []string{"h:1"}},
		"unix:///tmp/s?db=2":                                     {false, []string{"/tmp/s"}},
		"redis+cluster://a:1,b:2,c:3":                            {true, []string{"a:1", "b:2", "c:3"}},
		"rediss+cluster://u:p@a:1,b:2/0":                         {true, []string{"a:1", "b:2"}},
		"redis://a:1,b:2?cluster=true":                           {true, []string{"a:1", "b:2"}},
		"redis://[::1]:7,[::2]:8?cluster=true":                   {true, []string{"[::1]:7", "[::2]:8"}},
		"redis+sentinel://a:1,b:2/1?master_name=m&password=x":    {false, nil},
		"rediss+sentinel://a:1?master_name=m":                    {false, nil},
		"redis://u:p@a:1,b:2?master_name=m&dial_timeout=3s&db=2": {false, nil},
	} {
		client, cluster, err := dial(url, dialSettings{timeout: CallTimeout})
		if err != nil {
			t.Errorf("%s: %v", url, err)
			continue
		}
		defer client.Close()
		var addrs []string
		switch c := client.(type) {
		case *redis.Client:
			if want.addrs != nil {
				addrs = []string{c.Options().Addr}
			}
			if c.Options().MaxRetries != 0 || !c.Options().ContextTimeoutEnabled {
				t.Errorf("%s: the driver would retry by itself, or ignore contexts", url)
			}
		case *redis.ClusterClient:
			addrs = c.Options().Addrs
		}
		if cluster != want.cluster || !cmp.Equal(want.addrs, addrs) {
			t.Errorf("%s: cluster %v, %q", url, cluster, addrs)
		}
	}
}

func TestABadURLIsRefusedWithoutShowingItsPassword(t *testing.T) {
	for _, url := range []string{
		"", "localhost:6379", "http://u:hunter2@h", "redis://u:hunter2@h:port", "redis://:hunter2@h/db/x", "redis://:hunter2@h/x",
		"redis://:hunter2@h?unknown=1", "redis+sentinel://:hunter2@h", "redis+ring://:hunter2@h", "redis+cluster://:hunter2@h/1",
		"redis+cluster://:hunter2@h,x", "redis://:hunter2@h\x7f", "redis+cluster://:hunter2@h?read_only=true",
		"redis+sentinel://:hunter2@h?master_name=m&replica_only=true", "redis://:hun%zzter2@h", "redis://:hunter2@h?db=%zz",
	} {
		client, _, err := dial(url, dialSettings{timeout: CallTimeout})
		if err == nil {
			client.Close()
			t.Errorf("%q is taken", url)
			continue
		}
		if strings.Contains(err.Error(), "hunter2") || strings.Contains(err.Error(), "\n") {
			t.Errorf("%q: %v", url, err)
		}
	}
}

// As in redis://hunter2, where redis://:hunter2@redis was meant.
func TestAPasswordInThePlaceOfTheHostIsNotShown(t *testing.T) {
	unknown := func(_ context.Context, network, addr string) (net.Conn, error) {
		host, _, _ := net.SplitHostPort(addr)
		return nil, &net.OpError{Op: "dial", Net: network, Err: &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}}
	}
	_, err := withoutHost(unknown, time.Second)(t.Context(), "tcp", "hunter2:6379")
	if _, ok := errors.AsType[*net.OpError](err); !ok || strings.Contains(err.Error(), "hunter2") || !strings.Contains(err.Error(), "no such host") {
		t.Errorf("a host that cannot be resolved: %v", err)
	}
	for _, url := range []string{"redis://hunter2.invalid", "redis+cluster://hunter2.invalid:1", "redis+sentinel://hunter2.invalid:1?master_name=m"} {
		client, _, err := dial(url, dialSettings{timeout: CallTimeout})
		if err != nil {
			t.Fatal(err)
		}
		if err := client.Ping(t.Context()).Err(); err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v", url, err)
		}
		client.Close()
	}
}
