package hooks

import (
	"context"
	"log/slog"

	"github.com/prometheus/client_golang/prometheus"
)

// Hooks are the hooks of a service. A nil *Hooks has none.
type Hooks struct {
	Before *Before
	After  *After
}

// New returns nil if there are no hooks. subsystem stands in the names of metrics:
// gotapi_SUBSYSTEM_hook_... Its error is one line for the operator.
func New(cfg Config, subsystem string, log *slog.Logger, reg prometheus.Registerer) (*Hooks, error) {
	if cfg.BeforeURL == "" && cfg.AfterURL == "" {
		return nil, nil
	}
	secret, err := cfg.secret()
	if err != nil {
		return nil, err
	}
	m := newMetrics(reg, subsystem)
	return &Hooks{newBefore(cfg, secret, log, m), newAfter(cfg, secret, log, m)}, nil
}

// Run tells the hook that is told afterwards until ctx ends, and a moment longer.
func (h *Hooks) Run(ctx context.Context) error {
	if h == nil || h.After == nil {
		<-ctx.Done()
	} else {
		h.After.run(ctx)
		h.After.hook.close()
	}
	if h != nil && h.Before != nil {
		h.Before.hook.close()
	}
	return nil
}
