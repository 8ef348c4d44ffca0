package faults

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"sync/atomic"
	"testing"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"

	historyv1 "github.com/gotapi/gotapi-ws/proto/gen/gotapi/history/v1"
)

// Many ask over gRPC for pages of 8 MiB and withhold flow control. gRPC holds an answer
// for as long, also after its call has ended: 100 calls of one connection held 800 MiB.
func Test2_6_CallersThatTakeNothingOfTheirPagesCostNobodyElse(t *testing.T) {
	const strangers, calls = 20, 100
	g := newTarget(t)
	group, most := g.largeGroup(t, 300), int32(8<<20)
	service := g.Services[0]
	request, err := proto.Marshal(&historyv1.GetHistoryRequest{GroupName: group, MaxBytes: most})
	if err != nil {
		t.Fatal(err)
	}
	var refused atomic.Int64
	end := attack(t, strangers, func(ctx context.Context, i int) {
		conn, err := stranger(ctx, service.GRPC, i)
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
		if err := callAndTakeNothing(conn, calls, request, func(code codes.Code) {
			if code != codes.ResourceExhausted {
				t.Errorf("a call of a stranger ended with %v, want none or ResourceExhausted", code)
			}
			refused.Add(1)
		}); ctx.Err() == nil {
			t.Errorf("the connection of a stranger: %v", err)
		}
	})
	awaitCount(t, "the strangers hold their share", &refused, strangers)
	g.wantService(t)
	asVictim := metadata.AppendToOutgoingContext(t.Context(), "x-api-key", victimKey)
	page, err := historyv1.NewHistoryServiceClient(connect(t, service.GRPC, 1)[0]).
		GetHistory(asVictim, &historyv1.GetHistoryRequest{GroupName: group, MaxBytes: most})
	if err != nil || len(page.GetData()) < 250 {
		t.Errorf("the caller with a credential reads %d messages (%v), want a page of 8 MiB", len(page.GetData()), err)
	}
	wantMemory(t, service, serviceMemory)
	end()
}

// callAndTakeNothing makes calls with a window of flow control of nothing, and serves the
// connection until it ends. It reports the codes of calls that end.
func callAndTakeNothing(conn net.Conn, calls int, request []byte, ended func(codes.Code)) error {
	var out bytes.Buffer
	out.WriteString(http2.ClientPreface)
	framer := http2.NewFramer(&out, conn)
	framer.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	_ = framer.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 0})
	message := append(binary.BigEndian.AppendUint32([]byte{0}, uint32(len(request))), request...)
	var head bytes.Buffer
	headers := hpack.NewEncoder(&head)
	for n := range calls {
		head.Reset()
		for _, f := range []hpack.HeaderField{
			{Name: ":method", Value: "POST"},
			{Name: ":scheme", Value: "http"},
			{Name: ":authority", Value: "history"},
			{Name: ":path", Value: historyv1.HistoryService_GetHistory_FullMethodName},
			{Name: "content-type", Value: "application/grpc"},
			{Name: "te", Value: "trailers"},
		} {
			_ = headers.WriteField(f)
		}
		id := uint32(2*n + 1)
		_ = framer.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: head.Bytes(), EndHeaders: true})
		_ = framer.WriteData(id, true, message)
	}
	for {
		if _, err := out.WriteTo(conn); err != nil {
			return err
		}
		frame, err := framer.ReadFrame()
		if err != nil {
			return err
		}
		switch f := frame.(type) {
		case *http2.SettingsFrame:
			if !f.IsAck() {
				_ = framer.WriteSettingsAck()
			}
		case *http2.PingFrame:
			if !f.IsAck() {
				_ = framer.WritePing(true, f.Data)
			}
		case *http2.MetaHeadersFrame:
			for _, field := range f.Fields {
				var code codes.Code
				if field.Name != "grpc-status" {
					continue
				}
				if _, err := fmt.Sscan(field.Value, (*uint32)(&code)); err != nil {
					return err
				}
				ended(code)
			}
		}
	}
}
