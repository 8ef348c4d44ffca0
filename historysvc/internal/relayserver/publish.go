package relayserver

import (
	"context"
	"time"

	"go.opentelemetry.io/otel/attribute"
	otelcodes "go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"github.com/gotapi/gotapi-ws/historysvc/internal/history"
	"github.com/gotapi/gotapi-ws/historysvc/internal/rpc"
	relayv1 "github.com/gotapi/gotapi-ws/proto/gen/gotapi/relay/v1"
	"github.com/gotapi/gotapi-ws/services/tracing"
	"github.com/gotapi/gotapi-ws/wire/group"
	"github.com/gotapi/gotapi-ws/wire/stream"
)

// publication is a relayed publish on its way to the store. It is its own
// history.Sender.
type publication struct {
	history.Publication
	peer   *peer
	result relayv1.Result
	span   trace.Span // nil: none
}

var _ history.Sender = (*publication)(nil)

// publish submits the publishes of one frame to the store, in their order.
func (p *peer) publish(messages []*relayv1.Publish) {
	if !p.out.frameReceived(len(messages)) {
		return
	}
	now := time.Now()
	all := make([]publication, len(messages))
	var run *history.Run
	for i, m := range messages {
		run = runOf(messages, i, run)
		one := &all[i]
		one.peer = p
		one.result.Id = m.GetId()
		if !one.parse(m) {
			one.result.Outcome, one.result.Reason = relayv1.Outcome_OUTCOME_INVALID, "bad group, kind or author"
			p.out.addResult(&one.result)
			continue
		}
		one.Origin = stream.Origin{Edge: p.edge, ID: m.GetId()}
		one.Deadline = rpc.StoreDeadline(now, timeoutOf(m))
		one.From, one.Run = one, run
		one.trace(p.server.opts.Tracer, m.GetTrace())
		p.server.store.Submit(&one.Publication)
	}
}

// runOf returns the run of the ith message; nil if it is in none. before is that of the
// message before it.
func runOf(messages []*relayv1.Publish, i int, before *history.Run) *history.Run {
	switch n := messages[i].GetRun(); {
	case n == 0:
		return nil
	case i > 0 && messages[i-1].GetRun() == n:
		return before
	default:
		return new(history.Run)
	}
}

// parse reports whether m is valid.
func (p *publication) parse(m *relayv1.Publish) bool {
	g, err := group.Parse(m.GetGroup())
	author, ok := rpc.ParseAuthor(m.GetAuthor())
	p.Group, p.Kind, p.UUID, p.Payload = g, streamKind(m.GetKind()), m.GetUuid(), m.GetPayload()
	p.Author, p.By, p.Again = author, rpc.ParseName(m.GetBy()), m.GetAgain()
	return err == nil && g.Publishable() && p.Kind != 0 && ok
}

func timeoutOf(m *relayv1.Publish) time.Duration {
	if m.GetTimeoutMs() == 0 {
		return rpc.PublishTimeout
	}
	return time.Duration(m.GetTimeoutMs()) * time.Millisecond
}

// Settle implements history.Sender.
func (p *publication) Settle(r history.Receipt) {
	p.endSpan(&r)
	s := p.peer.server
	p.result.Outcome, p.result.Reason = rpc.Outcome(s.log, &r)
	p.result.Epoch, p.result.Seq, p.result.At, p.result.Recalled = uint64(r.Epoch), r.Seq, r.At, r.Recalled
	p.peer.out.addResult(&p.result)
	if r.Stored() {
		s.hub.Expect(p.Group, r.Epoch, r.Seq)
	}
}

// trace begins a span if the publication is traced. A nil tracer does nothing.
func (p *publication) trace(tracer trace.Tracer, encoded []byte) {
	if tracer == nil || len(encoded) == 0 {
		return
	}
	ctx, span := tracer.Start(tracing.Decode(context.Background(), encoded), "relay publish",
		trace.WithSpanKind(trace.SpanKindConsumer))
	if span.IsRecording() {
		p.span = span
		rpc.TraceAttempts(ctx, tracer, &p.Publication)
	}
}

func (p *publication) endSpan(r *history.Receipt) {
	if p.span == nil {
		return
	}
	if r.Err != nil {
		p.span.SetStatus(otelcodes.Error, rpc.Reason(r.Err))
	}
	p.span.SetAttributes(attribute.Bool("gotapi.duplicate", r.Duplicate))
	p.span.End()
}
