package redisstore

import (
	"net"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/gotapi/gotapi-ws/historysvc/internal/history"
	"github.com/gotapi/gotapi-ws/historysvc/internal/redisstore/redistest"
	"github.com/gotapi/gotapi-ws/wire/group"
	"github.com/gotapi/gotapi-ws/wire/stream"
)

func TestAFailoverBySentinelIsSurvived(t *testing.T) {
	t.Parallel()
	master := redistest.Start(t)
	host, port, err := net.SplitHostPort(master.Addr)
	if err != nil {
		t.Fatal(err)
	}
	replica := redistest.Start(t, "--replicaof", host+" "+port)
	sentinel := redistest.StartSentinel(t, "mymaster", master)
	client := redis.NewSentinelClient(&redis.Options{Addr: sentinel.Addr})
	defer func() { _ = client.Close() }()
	eventually(t, "the Sentinel knows the replica", func() bool {
		replicas, err := client.Replicas(t.Context(), "mymaster").Result()
		return err == nil && len(replicas) == 1 && replicas[0]["master-link-status"] == "ok"
	})

	l := &hearing{subscribed: make(chan group.Name, 100), events: make(chan stream.Event, 100)}
	s, g := open(t, Options{Connection: Connection{URL: "redis+sentinel://" + sentinel.Addr + "/0?master_name=mymaster"}}, l), room(t)
	s.Subscribe(g)
	wait(t, l.subscribed)
	must(t, s, g, "a")
	wait(t, l.events)
	eventually(t, "the replica has it", func() bool {
		answer, err := replica.Do("LLEN " + string(g))
		return err == nil && answer == ":1"
	})
	at := end(t, s, g)

	master.Kill()
	wait(t, l.subscribed)
	eventually(t, "appends go to the new master", func() bool { return submit(t, s, g, "b", dataPacket("b")).Err == nil })
	if e := wait(t, l.events); !strings.Contains(string(e.Payload), `"b"`) || e.Seq != 2 {
		t.Errorf("heard %+v", e)
	}
	b, err := s.Read(t.Context(), g, history.Start{After: at})
	if err != nil || b.Gap || len(b.Events) != 1 {
		t.Errorf("read %+v, %v", b, err)
	}
}
