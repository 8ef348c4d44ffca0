package redisstore

import (
	"testing"
	"time"

	"github.com/gotapi/gotapi-ws/historysvc/internal/redisstore/internal/presence"
	"github.com/gotapi/gotapi-ws/wire/group"
)

func TestAnEdgeThatFallsSilentIsForgotten(t *testing.T) {
	for _, b := range backends {
		t.Run(b.Name, func(t *testing.T) {
			s, g := on(t, b, Options{}, nil), room(t)
			edge := uint64(time.Now().UnixNano())
			if err := s.Report(t.Context(), edge, true, map[group.Name]uint32{g: 3}); err != nil {
				t.Fatal(err)
			}
			ttl, err := s.conn.Client().PTTL(t.Context(), presence.EdgeKey(presence.EdgeName(edge))).Result()
			if err != nil || ttl <= 0 || ttl > presence.TTL {
				t.Errorf("kept for %v, %v", ttl, err)
			}
			if err := s.conn.Client().Del(t.Context(), presence.EdgeKey(presence.EdgeName(edge))).Err(); err != nil { // as Redis would
				t.Fatal(err)
			}
			if all, err := s.Members(t.Context()); err != nil || all[g] != 0 {
				t.Errorf("%v, %v", all, err)
			}
			if err := s.Leave(t.Context(), edge); err != nil {
				t.Error(err)
			}
		})
	}
}
