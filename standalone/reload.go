package standalone

import (
	"context"

	"github.com/gotapi/gotapi-ws/edge"
	"github.com/gotapi/gotapi-ws/historysvc"
)

// hand passes each of reloads on to both services, until ctx ends.
func hand(ctx context.Context, reloads <-chan *Config, face chan<- *edge.Config, history chan<- *historysvc.Config) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case cfg := <-reloads:
			pass(ctx, history, &cfg.History)
			pass(ctx, face, &cfg.Edge)
		}
	}
}

func pass[T any](ctx context.Context, to chan<- T, v T) {
	select {
	case to <- v:
	case <-ctx.Done():
	}
}
