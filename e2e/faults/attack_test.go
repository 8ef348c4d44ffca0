package faults

import (
	"fmt"
	"net"
	"net/http"
	"testing"

	"github.com/gotapi/gotapi-ws/e2e/internal/client"
	"github.com/gotapi/gotapi-ws/e2e/internal/testbed"
)

// Requests whose bodies never come took all slots, so that everyone else got 503.
func TestBodiesThatNeverComeKeepNobodyOut(t *testing.T) {
	const slots = 20
	ops := testbed.FreeAddr(t)
	edge, _, _ := slowSystem(t, nil, []string{"-max-requests", fmt.Sprint(slots), "-ops-listen", ops})
	for range 5 * slots {
		conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", edge.Addr)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if _, err := fmt.Fprint(conn, "POST /room/1 HTTP/1.1\r\nHost: edge\r\nContent-Length: 100\r\n\r\nhalf"); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "the bodies are awaited", func() error {
		all, err := testbed.Metrics(t.Context(), ops)
		if n := all[`gotapi_edge_budget_used_bytes{part="inputs"}`]; err == nil && n < 5*slots*8<<10 {
			return fmt.Errorf("%v bytes are held", n)
		}
		return err
	})
	for i := range slots {
		if code := tryPublish(edge.Addr, "/room/2", client.Data(fmt.Sprint("victim-", i), "hello")); code != http.StatusOK {
			t.Errorf("publish %d of another client: %d, want 200", i, code)
		}
	}
}
