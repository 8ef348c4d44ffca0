package cli

import (
	"context"
	"errors"
	"fmt"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/gotapi/gotapi-ws/cli/internal/bench"
	"github.com/gotapi/gotapi-ws/cli/internal/terminal"
)

func (a *app) bench() *cobra.Command {
	var p bench.Plan
	c := &cobra.Command{
		Use:   "bench [flags]",
		Short: "Measure a server: acks per second, latencies, deliveries",
		Long: "Publishes to its own groups. It reports acked messages per second, the latencies of acks and\n" +
			"deliveries, and missing deliveries.\n\n" +
			"Without --rate each publisher sends the next message when one is acked (closed loop). This\n" +
			"finds the highest throughput. With --rate messages are due at fixed times (open loop).\n" +
			"Latencies then count from when a message was due, so that a hanging server cannot hide its\n" +
			"delay. The messages stay in the history of the groups under --prefix. Ctrl-C ends the\n" +
			"measurement and prints the results so far.",
		Example: "  gotapi bench --url ws://127.0.0.1:4998 --groups 100 --subscribers 10 --in-flight 16\n" +
			"  gotapi bench --url ws://127.0.0.1:4998 --groups 100 --subscribers 10 --rate 1000 --duration 1m",
		Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := p.Validate(); err != nil {
				return usageError{err}
			}
			return a.runBench(cmd.Context(), p)
		},
	}
	f := c.Flags()
	f.IntVar(&p.Groups, "groups", 1, "number of groups")
	f.IntVar(&p.Publishers, "publishers", 1, "publishers in each group")
	f.IntVar(&p.Subscribers, "subscribers", 1, "subscribers in each group")
	f.IntVar(&p.Size, "size", 128, "size of a packet in `bytes`")
	f.Float64Var(&p.Rate, "rate", 0, "messages per second of all publishers together; 0: as fast as they are acked")
	f.IntVar(&p.InFlight, "in-flight", 0, "unacked messages of each publisher; with --rate, the limit; 0: 16, or 1000 with --rate")
	f.DurationVar(&p.Duration, "duration", 10*time.Second, "how long to measure")
	f.DurationVar(&p.Warmup, "warmup", time.Second, "how long to publish before the measurement")
	f.StringVar(&p.Prefix, "prefix", "/bench", "prefix of the groups' names; a slash and a number follow")
	return c
}

// errIncomplete is the error of a measurement with refusals or missing deliveries.
var errIncomplete = errors.New("not everything was acked and delivered")

func (a *app) runBench(ctx context.Context, plan bench.Plan) error {
	s, err := a.connect()
	if err != nil {
		return err
	}
	defer s.close()
	p := a.printer()
	report, err := bench.Run(ctx, plan, bench.Target{
		Publisher: func(group string) (bench.Publisher, error) { return s.publisher(group) },
		Listen:    func(group string) (bench.Listener, error) { return s.listen(group, "") },
	}, func(r bench.Report) {
		p.progress.Show(func() string {
			return fmt.Sprintf("%4.0f s  %d acked, %.0f/s  ack p99 %.1f ms  delivery p99 %.1f ms", r.Seconds, r.Acked, r.AckedPerSec, r.Ack.P99, r.Delivery.P99)
		})
	})
	if err != nil {
		return reach(err)
	}
	if p.asJSON {
		err = p.json(report)
	} else {
		err = a.writeReport(p, report)
	}
	if err == nil && !report.Complete() {
		p.note(terminal.Red, "gotapi: %v", errIncomplete)
		return reportedError{errIncomplete}
	}
	return err
}

func (a *app) writeReport(p *printer, r bench.Report) error {
	p.progress.Clear()
	mode := "closed loop: publishers wait for acks, so a slow server gets fewer messages"
	if r.Mode == "open" {
		mode = fmt.Sprintf("open loop: %.0f messages/s are due; latencies count from when a message was due", r.TargetRate)
	}
	fmt.Fprintf(a.Out, "%s\n%s, %s, %s, %s, %.1f s\n\n", mode,
		count(r.Groups, "group"), count(r.Publishers, "publisher"), count(r.Subscribers, "subscriber"), count(r.Size, "byte"), r.Seconds)
	table := tabwriter.NewWriter(a.Out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(table, "\tcount\tper second\tp50 ms\tp90 ms\tp99 ms\tp99.9 ms\tmax ms\t")
	row := func(name string, n int64, ps float64, l bench.Latency) {
		fmt.Fprintf(table, "%s\t%d\t%.0f\t%.2f\t%.2f\t%.2f\t%.2f\t%.2f\t\n", name, n, ps, l.P50, l.P90, l.P99, l.P999, l.Max)
	}
	row("acked", r.Acked, r.AckedPerSec, r.Ack)
	if r.Subscribers > 0 {
		row("delivered", r.Deliveries, r.DeliveriesPS, r.Delivery)
	}
	if err := table.Flush(); err != nil {
		return err
	}
	for _, trouble := range []struct {
		n    int64
		text string
	}{
		{r.Refused, fmt.Sprintf("%d refused", r.Refused)},
		{r.Unanswered, fmt.Sprintf("%d sent, outcome unknown", r.Unanswered)},
		{r.Unsent, fmt.Sprintf("%d due, but not sent in time: the server or this machine is slower than --rate", r.Unsent)},
		{r.Expected - r.Deliveries, fmt.Sprintf("%d deliveries missing", r.Expected-r.Deliveries)},
		{r.Disconnections, count(r.Disconnections, "disconnection")},
		{r.Gaps, count(r.Gaps, "gap")},
	} {
		if trouble.n > 0 {
			fmt.Fprintln(a.Out, p.out.Paint(terminal.Yellow, trouble.text))
		}
	}
	return nil
}
