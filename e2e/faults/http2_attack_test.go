package faults

import (
	"bytes"
	"context"
	"crypto/tls"
	"sync/atomic"
	"testing"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/gotapi/gotapi-ws/e2e/internal/testbed"
	"github.com/gotapi/gotapi-ws/services/tlsfiles/tlstest"
)

// newTLSTarget is a target whose edge speaks TLS.
func newTLSTarget(t *testing.T) *target {
	t.Helper()
	withMemory(t, edgeMemory)
	dir, addr := t.TempDir(), testbed.FreeAddr(t)
	cert, key := tlstest.NewAuthority(t).Server(t, "127.0.0.1").Write(t, dir, "edge")
	speaks := func(ctx context.Context) error {
		conn, err := (&tls.Dialer{Config: anyHTTP2}).DialContext(ctx, "tcp", addr)
		if err != nil {
			return err
		}
		return conn.Close()
	}
	s := testbed.Start(t, testbed.Config{Store: testbed.Single})
	edge := testbed.StartProcess(t, "edge-tls", testbed.Binary(t, "edge"), speaks,
		"-listen", addr, "-history", s.Services[0].GRPC, "-tls-cert", cert, "-tls-key", key)
	s.Edges = []*testbed.Process{edge}
	return &target{System: s, addr: addr}
}

// anyHTTP2 speaks HTTP/2 with any server.
var anyHTTP2 = &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2"}} //nolint:gosec // attackers do not mind

// A frame that has begun held a buffer of all its size, up to 1 MiB, until it was complete.
func Test2_6_UnfinishedFramesOfHTTP2CostLittle(t *testing.T) {
	const strangers, frame, bound = 200, 1<<20 - 1, 128 << 20
	g := newTLSTarget(t)
	var begun atomic.Int64
	end := attack(t, strangers, func(ctx context.Context, i int) {
		raw, err := stranger(ctx, g.addr, i)
		if err != nil {
			t.Error(err)
			return
		}
		defer raw.Close()
		conn := tls.Client(raw, anyHTTP2)
		var head bytes.Buffer
		headers := hpack.NewEncoder(&head)
		for _, f := range []hpack.HeaderField{{Name: ":method", Value: "POST"}, {Name: ":scheme", Value: "https"}, {Name: ":authority", Value: "edge"}, {Name: ":path", Value: "/room/1"}} {
			_ = headers.WriteField(f)
		}
		var out bytes.Buffer
		out.WriteString(http2.ClientPreface)
		framer := http2.NewFramer(&out, nil)
		_ = framer.WriteSettings()
		_ = framer.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: head.Bytes(), EndHeaders: true})
		out.Write([]byte{frame >> 16, frame >> 8 & 0xff, frame & 0xff, byte(http2.FrameData), 0, 0, 0, 0, 1})
		out.Write(make([]byte, frame-1))
		_, _ = conn.Write(out.Bytes())
		begun.Add(1)
		<-ctx.Done()
	})
	awaitCount(t, "the frames have begun", &begun, strangers)
	wantMemory(t, g.Edges[0], bound)
	end()
}
