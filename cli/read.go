package cli

import (
	"context"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/gotapi/gotapi-ws/cli/internal/terminal"
	gotapi "github.com/gotapi/gotapi-ws/clients/go"
)

// maxPage is the largest page that the server gives.
const maxPage = 10_000

// historyFlags are those of `gotapi history`.
type historyFlags struct {
	request gotapi.PageRequest
	all     bool
	raw     bool
	long    bool
}

const longUsage = "show when each stored message was stored, and its author; --json always does"

func (a *app) history() *cobra.Command {
	var f historyFlags
	c := &cobra.Command{
		Use:   "history GROUP [flags]",
		Short: "Show stored messages of a group, the newest first",
		Long: "Shows stored messages of a group, the newest first. It leaves out recalled messages, so\n" +
			"there may be fewer than --size.",
		Example: "  gotapi history /room/9527/ --size 100\n" +
			"  gotapi history /room/9527/ --all --json >backup.jsonl",
		Args: exactly(groupArgument),
		RunE: func(cmd *cobra.Command, args []string) error {
			if f.request.Size < 1 || f.request.Size > maxPage {
				return usagef("--size: must be 1 to %d", maxPage)
			}
			if f.request.Before != "" && f.request.Position != 0 {
				return usagef("--before and --position cannot be combined")
			}
			return a.runHistory(cmd.Context(), args[0], f)
		},
	}
	c.Flags().IntVarP(&f.request.Size, "size", "n", 50, "number of messages; with --all, number in each request")
	c.Flags().IntVar(&f.request.Position, "position", 0, "position of the first message: 0 is the newest, -1 the oldest, -50 the 50th oldest")
	c.Flags().StringVar(&f.request.Before, "before", "", "show the messages before the one with this `uuid`")
	c.Flags().BoolVar(&f.all, "all", false, "show all messages from --position or --before on")
	c.Flags().BoolVar(&f.raw, "raw", false, "write packets unchanged")
	c.Flags().BoolVarP(&f.long, "long", "l", false, longUsage)
	return c
}

func (a *app) runHistory(ctx context.Context, group string, f historyFlags) error {
	s, err := a.connect()
	if err != nil {
		return err
	}
	defer s.close()
	p := a.printer()
	p.raw = f.raw
	f.request.Meta = f.long || p.asJSON
	n := 0
	for page, err := range gotapi.Pages(ctx, timedReader{a, s}, group, f.request) {
		if err != nil {
			return reach(err)
		}
		for i := range page.Packets {
			if err := p.stored(group, &page, i); err != nil {
				return err
			}
		}
		if !f.all {
			break
		}
		n += len(page.Packets)
		p.progress.Show(func() string { return count(n, "message") })
	}
	p.progress.Clear()
	return nil
}

// timedReader bounds the time of each page that it reads by --timeout.
type timedReader struct {
	app  *app
	from requests
}

// History implements gotapi.HistoryReader.
func (r timedReader) History(ctx context.Context, group string, q gotapi.PageRequest) (gotapi.Page, error) {
	limited, cancel := r.app.limited(ctx)
	defer cancel()
	return r.from.History(limited, group, q)
}

func (a *app) cancel() *cobra.Command {
	return &cobra.Command{
		Use:   "cancel GROUP UUID... [flags]",
		Short: "Recall messages: erase their texts and notify all members",
		Long: "Recalls the messages with these uuids: erases their texts from the history and notifies all\n" +
			"members. If a message does not exist, it continues with the others and ends with exit code 5.",
		Example: "  gotapi cancel /room/9527/ $(gotapi pub /room/9527/ 'too early')",
		Args:    between(2, -1, groupArgument, "UUID"),
		RunE:    func(cmd *cobra.Command, args []string) error { return a.runCancel(cmd.Context(), args[0], args[1:]) },
	}
}

// recalled is what --json writes of a recall.
type recalled struct {
	Group    string `json:"group"`
	UUID     string `json:"uuid"`
	Recalled bool   `json:"recalled"`
	Code     int    `json:"code,omitempty"`
	Reason   string `json:"reason,omitempty"`
}

func (a *app) runCancel(ctx context.Context, group string, uuids []string) error {
	s, err := a.connect()
	if err != nil {
		return err
	}
	defer s.close()
	p := a.printer()
	var failed error
	for _, uuid := range uuids {
		limited, cancel := a.limited(ctx)
		err := reach(s.Recall(limited, group, uuid))
		cancel()
		if err := p.recall(group, uuid, err); err != nil {
			return err
		}
		if err == nil {
			continue
		}
		if gotapi.CodeOf(err) == 0 { // the next would fail, too
			return reportedError{err}
		}
		if failed == nil {
			failed = reportedError{err}
		}
	}
	return failed
}

func (p *printer) recall(group, uuid string, err error) error {
	if p.asJSON {
		r := recalled{Group: group, UUID: uuid, Recalled: err == nil, Code: gotapi.CodeOf(err)}
		if err != nil {
			r.Reason = err.Error()
		}
		return p.json(r)
	}
	if err != nil {
		p.note(terminal.Red, "%s: %v", uuid, err)
		return nil
	}
	return p.line(terminal.Printable(uuid) + "  " + p.out.Paint(terminal.Green, "recalled"))
}

func (a *app) ttl() *cobra.Command {
	return &cobra.Command{
		Use:     "ttl GROUP DURATION [flags]",
		Short:   "Set how long a group's history outlives its last message",
		Long:    "Sets how long a group's history outlives its last message. The admin secret is required as token.",
		Example: "  gotapi ttl /room/9527/ 720h",
		Args:    exactly(groupArgument, "DURATION"),
		RunE: func(cmd *cobra.Command, args []string) error {
			d, err := time.ParseDuration(args[1])
			if err != nil || d < time.Second || d%time.Second != 0 {
				return usagef("DURATION: %q is not a duration of whole seconds, such as 90s or 720h", args[1])
			}
			return a.runTTL(cmd.Context(), args[0], d)
		},
	}
}

func (a *app) runTTL(ctx context.Context, group string, d time.Duration) error {
	return a.withServer(ctx, func(ctx context.Context, s *server) error {
		if err := s.SetTTL(ctx, group, d); err != nil {
			return asAdmin(err)
		}
		p := a.printer()
		if p.asJSON {
			return p.json(struct {
				Group string `json:"group"`
				TTL   int64  `json:"ttl_seconds"`
			}{group, int64(d / time.Second)})
		}
		return p.line(strings.TrimSpace(terminal.Printable(group)) + "  " + p.out.Paint(terminal.Green, d.String()))
	})
}
