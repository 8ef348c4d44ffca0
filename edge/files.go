package edge

import (
	"context"
	"log/slog"

	"github.com/gotapi/gotapi-ws/services/runtimetuning"
)

const (
	// keptFiles is how many file descriptors are kept for everything but connections of
	// clients: operations, history services, hooks, files. Of a small limit it is a
	// quarter.
	keptFiles = 256
	// webSockets is the share of connections, in percent, that may be WebSockets.
	webSockets = 90
)

// maxTCPConnections is how many TCP connections the limit of file descriptors allows; 0:
// the system has no limit.
func maxTCPConnections() int {
	files := runtimetuning.MaxFiles()
	return files - min(keptFiles, files/4)
}

// maxConnections is -max-connections, or without it as many as file descriptors allow.
func (c *Config) maxConnections() int {
	if c.MaxConnections > 0 {
		return c.MaxConnections
	}
	return maxTCPConnections() * webSockets / 100
}

// warnOfFiles says at start if file descriptors run out before -max-connections is reached.
func (c *Config) warnOfFiles(ctx context.Context, log *slog.Logger) {
	if most := maxTCPConnections(); most > 0 && c.MaxConnections > most {
		log.WarnContext(ctx, "-max-connections exceeds the file descriptor limit (ulimit -n, LimitNOFILE)",
			"max_connections", c.MaxConnections, "possible", most, "files", runtimetuning.MaxFiles())
	}
}
