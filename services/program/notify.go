package program

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"time"

	"github.com/gotapi/gotapi-ws/services/run"
)

// notifyVariable names the socket on which systemd waits to hear of a unit of
// Type=notify (sd_notify(3)).
const notifyVariable = "NOTIFY_SOCKET"

// notifyTimeout bounds one datagram to systemd.
const notifyTimeout = time.Second

// notifyPart tells the service manager when the program serves, and when it stops. It is
// the last of the parts, so that it stops first. Without a service manager that waits
// for it, there is none.
func notifyPart(started <-chan struct{}, log *slog.Logger) []run.Part {
	path := os.Getenv(notifyVariable)
	if path == "" {
		return nil
	}
	tell := func(ctx context.Context, state string) {
		if err := notify(path, state); err != nil {
			log.WarnContext(ctx, "cannot notify the service manager", "state", state, "error", err)
		}
	}
	return []run.Part{{Name: "service manager", Serve: func(ctx context.Context) error {
		select {
		case <-started:
			tell(ctx, "READY=1")
			<-ctx.Done()
		case <-ctx.Done():
		}
		tell(ctx, "STOPPING=1")
		return nil
	}}}
}

// notify sends a datagram to a socket. "@" begins the name of an abstract one, as in
// package net.
func notify(path, state string) error {
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		return fmt.Errorf("%s: %w", notifyVariable, err)
	}
	defer func() { _ = conn.Close() }() // a datagram is sent or not
	if err := conn.SetWriteDeadline(time.Now().Add(notifyTimeout)); err != nil {
		return err
	}
	_, err = conn.Write([]byte(state))
	return err
}
