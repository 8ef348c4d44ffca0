package faults

import (
	"bytes"
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/url"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/gotapi/gotapi-ws/e2e/internal/testbed"
	"github.com/gotapi/gotapi-ws/services/tlsfiles/tlstest"
)

// newTLSTarget is a target whose edge speaks TLS.
func newTLSTarget(t *testing.T, edgeArgs ...string) *target {
	t.Helper()
	return newTargetOf(t, "https://", func(services []*testbed.Process, args ...string) *testbed.Process {
		dir, addr := t.TempDir(), testbed.FreeAddr(t)
		cert, key := tlstest.NewAuthority(t).Server(t, "127.0.0.1").Write(t, dir, "edge")
		speaks := func(ctx context.Context) error {
			conn, err := (&tls.Dialer{Config: anyHTTP2}).DialContext(ctx, "tcp", addr)
			if err != nil {
				return err
			}
			return conn.Close()
		}
		args = append(args, "-listen", addr, "-history", services[0].GRPC, "-tls-cert", cert, "-tls-key", key)
		edge := testbed.StartProcess(t, "edge-tls", testbed.Binary(t, "edge"), speaks, args...)
		edge.Addr = addr
		return edge
	}, edgeArgs...)
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

// Streams that are opened and reset at once (CVE-2023-44487).
func Test2_6_FloodsOfResetsCostNobodyElse(t *testing.T) {
	const floods, streams, resets = 40, 100, 100_000
	g := newTLSTarget(t)
	g.wantService(t)
	group := g.largeGroup(t, 300)
	var sent atomic.Int64
	end := attack(t, floods, func(ctx context.Context, i int) {
		for ctx.Err() == nil {
			raw, err := stranger(ctx, g.addr, i)
			if err != nil {
				continue
			}
			stop := context.AfterFunc(ctx, func() { _ = raw.Close() })
			resetStreams(tls.Client(raw, anyHTTP2), "/__/history?groupName="+url.QueryEscape(group), streams, &sent)
			stop()
			_ = raw.Close()
		}
	})
	awaitCount(t, "the floods are under way", &sent, resets)
	g.awaitMetric(t, `gotapi_edge_refused_tcp_connections_total{limit="resets"}`, floods)
	before, used := sent.Load(), g.edgeCPU(t)
	g.wantService(t)
	t.Logf("meanwhile %d streams were reset, which took %v of the edge's processor time; %v connections were closed so far", sent.Load()-before,
		g.edgeCPU(t)-used, g.metric(t, `gotapi_edge_refused_tcp_connections_total{limit="resets"}`))
	end()
}

func (g *target) edgeCPU(t *testing.T) time.Duration {
	t.Helper()
	used, err := testbed.CPU(g.Edges[0].PID())
	if err != nil {
		t.Fatal(err)
	}
	return used
}

// resetStreams opens and resets streams, so many at a time, until the connection ends.
func resetStreams(conn net.Conn, path string, streams int, sent *atomic.Int64) {
	var out, head bytes.Buffer
	out.WriteString(http2.ClientPreface)
	framer := http2.NewFramer(&out, nil)
	_ = framer.WriteSettings()
	headers := hpack.NewEncoder(&head)
	go func() { _, _ = io.Copy(io.Discard, conn) }()
	for id := uint32(1); id < 1<<31; id += uint32(2 * streams) {
		for n := range uint32(streams) {
			head.Reset()
			for _, f := range []hpack.HeaderField{{Name: ":method", Value: "GET"}, {Name: ":scheme", Value: "https"}, {Name: ":authority", Value: "edge"}, {Name: ":path", Value: path}} {
				_ = headers.WriteField(f)
			}
			_ = framer.WriteHeaders(http2.HeadersFrameParam{StreamID: id + 2*n, BlockFragment: head.Bytes(), EndStream: true, EndHeaders: true})
			_ = framer.WriteRSTStream(id+2*n, http2.ErrCodeCancel)
		}
		if _, err := out.WriteTo(conn); err != nil {
			return
		}
		sent.Add(int64(streams))
	}
}
