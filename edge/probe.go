package edge

import (
	"context"

	"github.com/gotapi/gotapi-ws/services/health"
	"github.com/gotapi/gotapi-ws/services/tlsfiles"
)

const statusPath = "/__status"

// Probe returns nil if the edge that runs with the same settings answers.
func (c *Config) Probe(ctx context.Context) error {
	addr, err := health.Local(c.Listen)
	if err != nil {
		return err
	}
	path := c.basePath() + statusPath
	files := c.serverTLS()
	if files == nil {
		return health.HTTP(ctx, "http://"+addr+path, nil)
	}
	secure, err := tlsfiles.Itself(*files)
	if err != nil {
		return err
	}
	return health.HTTP(ctx, "https://"+addr+path, secure)
}
