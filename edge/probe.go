package edge

import (
	"context"

	"github.com/gotapi/gotapi-ws/services/health"
	"github.com/gotapi/gotapi-ws/services/tlsfiles"
)

const statusPath = "/__status"

// Probe asks the edge that runs with the same settings whether it answers.
func (c *Config) Probe(ctx context.Context) error {
	addr, err := health.Local(c.Listen)
	if err != nil {
		return err
	}
	face := c.face()
	if face == nil {
		return health.HTTP(ctx, "http://"+addr+statusPath, nil)
	}
	secure, err := tlsfiles.Itself(*face)
	if err != nil {
		return err
	}
	return health.HTTP(ctx, "https://"+addr+statusPath, secure)
}
