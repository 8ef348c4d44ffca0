package historysvc

import (
	"context"
	"errors"
	"net"

	"google.golang.org/grpc"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/encoding/proto"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"
	protobuf "google.golang.org/protobuf/proto"
)

// errCallTime is the cause of the end of calls that take longer than maxCallTime.
var errCallTime = errors.New("the call took too long")

// sendAndWait sends an answer and waits until its caller has received it. gRPC buffers a
// whole answer while the caller withholds flow control, even after the call has ended. Only
// closing the connection frees it. So sendAndWait hangs up on a caller that has not
// received its answer when the context of the call ends.
func sendAndWait(call context.Context, stream grpc.ServerStream, message any, hangUp func(net.Addr)) error {
	a := &answer{message: message, taken: make(chan struct{})}
	if err := stream.SendMsg(a); err != nil {
		return err
	}
	select {
	case <-a.taken:
		return nil
	case <-call.Done(): // the caller has given up or hung up, or the time is up
	}
	if p, ok := peer.FromContext(call); ok && errors.Is(context.Cause(call), errCallTime) {
		hangUp(p.Addr)
	}
	return status.FromContextError(call.Err()).Err()
}

// answer is a message whose sender wants to know when all of it was written.
type answer struct {
	message any
	taken   chan struct{}
}

// answerCodec is the codec of gRPC, which encodes answers, too.
type answerCodec struct{ encoding.CodecV2 }

func newAnswerCodec() answerCodec { return answerCodec{encoding.GetCodecV2(proto.Name)} }

// Marshal implements encoding.CodecV2.
func (c answerCodec) Marshal(v any) (mem.BufferSlice, error) {
	a, ok := v.(*answer)
	if !ok {
		return c.CodecV2.Marshal(v)
	}
	message := a.message.(protobuf.Message)
	a.message = nil // the encoded message replaces it
	pool := mem.DefaultBufferPool()
	buf := pool.Get(protobuf.Size(message))
	text, err := protobuf.MarshalOptions{UseCachedSize: true}.MarshalAppend((*buf)[:0], message)
	if err != nil {
		pool.Put(buf)
		return nil, err
	}
	if mem.IsBelowBufferPoolingThreshold(cap(*buf)) { // nobody would say when it is written
		close(a.taken)
		return mem.BufferSlice{mem.SliceBuffer(text)}, nil
	}
	return mem.BufferSlice{mem.NewBuffer(buf, takenPool{pool, a.taken})}, nil
}

// takenPool is the pool of the buffer of one answer, which gets it back when all of it
// was written or will never be.
type takenPool struct {
	mem.BufferPool
	taken chan struct{}
}

// Put implements mem.BufferPool.
func (p takenPool) Put(buf *[]byte) {
	p.BufferPool.Put(buf)
	close(p.taken)
}
