package cli

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/gotapi/gotapi-ws/cli/internal/terminal"
	gotapi "github.com/gotapi/gotapi-ws/clients/go"
	"github.com/gotapi/gotapi-ws/wire/packet"
)

// listenFlags are those of `gotapi sub` and `gotapi tail`.
type listenFlags struct {
	after    string
	count    int
	duration time.Duration
	raw      bool
	wait     bool
}

func (f *listenFlags) register(c *cobra.Command) {
	c.Flags().DurationVar(&f.duration, "for", 0, "end after this long, such as 30s; 0s: never")
	c.Flags().BoolVar(&f.raw, "raw", false, "write packets unchanged, and nothing else")
	c.Flags().BoolVar(&f.wait, "wait", false, "keep trying if the server cannot be reached at first")
}

func (a *app) sub() *cobra.Command {
	var f listenFlags
	c := &cobra.Command{
		Use:   "sub GROUP [flags]",
		Short: "Show what is published in a group, as it arrives",
		Long: "Shows messages, recalls, receipts and other packets of a group as they arrive. After a lost\n" +
			"connection it resumes exactly after the last message shown. If messages were lost\n" +
			"nevertheless, it reports a gap. Ctrl-C ends it.",
		Example: "  gotapi sub /room/9527/\n" +
			"  gotapi sub /room/9527/ --after 0193a5c2-... --json | jq -r .packet",
		Args: exactly(groupArgument),
		RunE: func(cmd *cobra.Command, args []string) error {
			if f.count < 0 || f.duration < 0 {
				return usagef("--count, --for: must not be negative")
			}
			s, err := a.connect()
			if err != nil {
				return err
			}
			defer s.close()
			return a.listen(cmd.Context(), s, args[0], f, 0)
		},
	}
	c.Flags().StringVar(&f.after, "after", "", "begin after the message with this `uuid`: stored messages first, then new ones")
	c.Flags().IntVarP(&f.count, "count", "n", 0, "end after this many packets; 0: never")
	f.register(c)
	return c
}

// listen writes the events of a group until f says to end. shown is how many packets were
// written before.
func (a *app) listen(ctx context.Context, s *server, group string, f listenFlags, shown int) error {
	l, err := s.listen(group, f.after)
	if err != nil {
		return err
	}
	defer l.Close()
	if f.duration > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, f.duration)
		defer cancel()
	}
	h := hearing{printer: a.printer(), flags: f, began: time.Now()}
	h.nothingLeft = func(ctx context.Context) bool {
		limited, cancel := a.limited(ctx)
		defer cancel()
		page, err := s.History(limited, group, gotapi.PageRequest{Size: 1})
		return err == nil && len(page.Packets) == 0 && page.Next == nil
	}
	h.printer.raw = f.raw
	err = h.run(ctx, l)
	if !f.raw && !a.settings.json {
		h.printer.note(terminal.Dim, "%s in %v, %s", count(shown+h.packets, "packet"), time.Since(h.began).Round(time.Millisecond), count(max(h.connections-1, 0), "reconnection"))
	}
	return err
}

// hearing is one run of listen.
type hearing struct {
	printer              *printer
	flags                listenFlags
	began                time.Time
	packets, connections int
	// nothingLeft reports whether the group has no history.
	nothingLeft func(context.Context) bool
	// A gap was reported and no message has come since; the gap was the last event.
	missing, justTold bool
}

func (h *hearing) run(ctx context.Context, l listener) error {
	for {
		e, err := l.Next(ctx)
		switch {
		case err == nil:
		case ctx.Err() != nil:
			return nil //nolint:nilerr // a signal, or the time is over: that is how it ends
		default:
			return err
		}
		if err := h.take(ctx, e); err != nil {
			return err
		}
		if h.flags.count > 0 && h.packets >= h.flags.count {
			return nil
		}
	}
}

func (h *hearing) take(ctx context.Context, e gotapi.Event) error {
	closing := h.justTold
	h.justTold = false
	switch e.Kind {
	case gotapi.Connected:
		h.connections++
	case gotapi.Disconnected:
		if h.connections == 0 && !h.flags.wait {
			return fmt.Errorf("%w: %w", errUnreachable, e.Err)
		}
		if closing { // the server ends a connection after a gap
			return nil
		}
	case gotapi.Message, gotapi.Packet, gotapi.Receipt:
		h.packets++
		h.missing = h.missing && e.Kind != gotapi.Message
	case gotapi.Gap:
		if !h.printer.asJSON {
			h.gap(ctx, e.Err)
			return nil
		}
	}
	return h.printer.event(e, time.Now())
}

// gap tells people that messages are missing. It does so once, although the resume that
// follows reports the same gap again.
func (h *hearing) gap(ctx context.Context, err error) {
	if h.missing {
		return
	}
	h.missing, h.justTold = true, true
	if h.nothingLeft(ctx) {
		h.printer.note(terminal.Red, "the group's history is gone: it was purged, expired or lost")
		return
	}
	h.printer.note(terminal.Red, "messages are missing here: %v", err)
}

func (a *app) tail() *cobra.Command {
	var f listenFlags
	var n int
	var follow, long bool
	c := &cobra.Command{
		Use:   "tail GROUP [flags]",
		Short: "Show the last messages of a group, and with -f new ones",
		Long: "Shows the last stored messages of a group, the oldest first. With -f it then shows new ones\n" +
			"without a gap, as `gotapi sub` does.",
		Example: "  gotapi tail /room/9527/ -n 50\n  gotapi tail /room/9527/ -f",
		Args:    exactly(groupArgument),
		RunE: func(cmd *cobra.Command, args []string) error {
			if n < 0 || n > maxPage || f.duration < 0 {
				return usagef("-n: must be 0 to %d; --for: must not be negative", maxPage)
			}
			return a.runTail(cmd.Context(), args[0], gotapi.PageRequest{Size: n, Meta: long || a.settings.json}, follow, f)
		},
	}
	c.Flags().IntVarP(&n, "lines", "n", 10, "number of messages")
	c.Flags().BoolVarP(&follow, "follow", "f", false, "show new messages as they arrive")
	c.Flags().BoolVarP(&long, "long", "l", false, longUsage)
	f.register(c)
	return c
}

func (a *app) runTail(ctx context.Context, group string, last gotapi.PageRequest, follow bool, f listenFlags) error {
	s, err := a.connect()
	if err != nil {
		return err
	}
	defer s.close()
	// One at least, as the place to go on from.
	n := last.Size
	last.Size = max(n, 1)
	limited, cancel := a.limited(ctx)
	page, err := s.History(limited, group, last)
	cancel()
	if err != nil {
		return reach(err)
	}
	p := a.printer()
	p.raw = f.raw
	shown := min(n, len(page.Packets))
	for i := shown - 1; i >= 0; i-- {
		if err := p.stored(group, &page, i); err != nil {
			return err
		}
	}
	if !follow {
		return nil
	}
	if len(page.Packets) > 0 {
		f.after = packet.Classify([]byte(page.Packets[0])).UUID
	}
	return a.listen(ctx, s, group, f, shown)
}
