package hooks

import (
	"context"
	"log/slog"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
)

// Hooks are the hooks of a service. A nil *Hooks has none.
type Hooks struct {
	Before *Before
	After  *After
	// What both share.
	credentials credentials
}

// New returns nil if there are no hooks. subsystem is part of the names of metrics:
// gotapi_SUBSYSTEM_hook_... Its error is one line for the operator.
func New(cfg Config, subsystem string, log *slog.Logger, reg prometheus.Registerer) (*Hooks, error) {
	if cfg.BeforeURL == "" && cfg.AfterURL == "" {
		return nil, nil
	}
	known, err := cfg.credentials(log)
	if err != nil {
		return nil, err
	}
	m := newMetrics(reg, subsystem)
	return &Hooks{newBefore(cfg, known, log, m), newAfter(cfg, known, log, m), known}, nil
}

// Reload reads the secret that requests are signed with, and the authorities, again.
func (h *Hooks) Reload() {
	if h != nil {
		h.credentials.reload()
	}
}

// Run delivers to the hook after publishing until ctx ends, and a moment longer. It
// reads the files of its credentials again when they change.
func (h *Hooks) Run(ctx context.Context) error {
	var watching sync.WaitGroup
	if h != nil {
		watching.Go(func() { h.credentials.secret.Run(ctx) })
		watching.Go(func() { h.credentials.authorities.Run(ctx) })
	}
	defer watching.Wait()
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
