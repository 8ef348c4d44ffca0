package cli

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/gotapi/gotapi-ws/cli/internal/terminal"
	gotapi "github.com/gotapi/gotapi-ws/clients/go"
	"github.com/gotapi/gotapi-ws/internal/backoff"
	"github.com/gotapi/gotapi-ws/wire/group"
)

// This file has the commands for operators that call the admin API.

// asAdmin is reach for calls that need the admin secret. It tells how to pass it if the
// server refuses the call.
func asAdmin(err error) error {
	err = reach(err)
	if code := gotapi.CodeOf(err); code == http.StatusUnauthorized || code == http.StatusForbidden {
		return fmt.Errorf("%w; start the server with -admin-secret-file F, and pass the same secret here with --token-file F", err)
	}
	return err
}

func (a *app) status() *cobra.Command {
	return &cobra.Command{
		Use:   "status [flags]",
		Short: "Show the store, the services and their alarms",
		Long: "Shows the store, the history services and the edges with their versions. Alarms say what is\n" +
			"wrong and what to do; they have the names of the alerts in docs/operations.md. If there is\n" +
			"an alarm, the exit code is 1. The admin secret is required as token.",
		Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.withServer(cmd.Context(), func(ctx context.Context, s *server) error {
				status, err := s.Status(ctx)
				if err != nil {
					return asAdmin(err)
				}
				if err := a.showStatus(&status); err != nil {
					return err
				}
				if len(status.Alarms) > 0 {
					return reportedError{fmt.Errorf("%d alarms", len(status.Alarms))}
				}
				return nil
			})
		},
	}
}

func (a *app) showStatus(s *gotapi.Status) error {
	p := a.printer()
	if p.asJSON {
		return p.json(s)
	}
	table := a.table()
	showStore(table, &s.Store)
	for _, one := range s.Services {
		if one.Silent {
			fmt.Fprintf(table, "history service\t%s does not answer, or is not ready\n", terminal.Printable(one.Address))
			continue
		}
		fmt.Fprintf(table, "history service\t%s, %s\n", process(one.Host, one.Version, one.Commit), count(one.Streams, "edge"))
	}
	if one := &s.Service; len(s.Services) == 0 && one.Version != "" {
		fmt.Fprintf(table, "history service\t%s, up %s\n", process(one.Host, one.Version, one.Commit), seconds(one.Uptime))
	}
	for _, e := range s.Edges {
		about := process(e.Host, e.Version, e.Commit)
		if s.Store.Kind != "" { // it has the numbers
			about += ", " + count(e.Members, "member") + " in " + count(e.Groups, "group")
		}
		fmt.Fprintf(table, "edge %s\t%s\n", terminal.Printable(e.ID), about)
	}
	if len(s.Alarms) == 0 {
		fmt.Fprintln(table, "alarms\tnone")
	}
	if err := table.Flush(); err != nil {
		return err
	}
	for _, alarm := range s.Alarms {
		if err := p.line(p.out.Paint(terminal.Red, alarm.Name) + "  " + terminal.Printable(alarm.Text)); err != nil {
			return err
		}
	}
	return nil
}

func showStore(table io.Writer, store *gotapi.StoreStatus) {
	switch store.Kind {
	case "":
		fmt.Fprintln(table, "store\tcannot be reached")
		return
	case "embedded":
		fmt.Fprintln(table, "store\tembedded, in memory: a restart empties it")
		return
	}
	fmt.Fprintf(table, "store\t%s, up %s\n", terminal.Printable(store.Kind+" "+store.Version+" "+store.Mode), seconds(store.Uptime))
	memory := bytesOf(store.UsedBytes)
	if store.MaxBytes > 0 {
		memory += " of " + bytesOf(store.MaxBytes)
	}
	fmt.Fprintf(table, "\t%s, %s, %s evicted\n", memory, terminal.Printable(store.EvictionPolicy), count(store.EvictedKeys, "key"))
	fmt.Fprintf(table, "\t%s, %s, %s\n", count(store.Nodes, "master"), count(store.Replicas, "replica"), count(store.Clients, "connection"))
}

// process names a process and its version, or returns "unknown version".
func process(host, version, commit string) string {
	if version == "" {
		return "unknown version"
	}
	const short = 12
	if len(commit) > short {
		commit = commit[:short]
	}
	return terminal.Printable(fmt.Sprintf("%s %s (%s)", host, version, commit))
}

// table aligns columns on standard output.
func (a *app) table() *tabwriter.Writer { return tabwriter.NewWriter(a.Out, 0, 0, 2, ' ', 0) }

// seconds is a number of seconds for people.
func seconds(n int64) string {
	if n >= 48*3600 {
		return fmt.Sprintf("%dd", n/(24*3600))
	}
	return (time.Duration(n) * time.Second).String()
}

// bytesOf is a number of bytes for people.
func bytesOf(n int64) string {
	value, unit := float64(n), "B"
	for _, next := range []string{"KiB", "MiB", "GiB", "TiB"} {
		if value < 1024 {
			break
		}
		value, unit = value/1024, next
	}
	if unit == "B" {
		return fmt.Sprintf("%d B", n)
	}
	return fmt.Sprintf("%.1f %s", value, unit)
}

// groupsFlags are those of `gotapi groups`.
type groupsFlags struct {
	sort     string
	limit    int
	interval time.Duration
}

// The orders of groups.
const (
	byName    = "name"
	byMembers = "members"
	byBytes   = "bytes"
	byRate    = "rate"
)

func (f *groupsFlags) validate() error {
	switch {
	case !slices.Contains([]string{byName, byMembers, byBytes, byRate}, f.sort):
		return usagef("--sort: %q is not one of name, members, bytes, rate", f.sort)
	case f.limit < 0:
		return usagef("--limit: must not be negative")
	case f.interval < 100*time.Millisecond || f.interval > time.Hour:
		return usagef("--interval: must be 100ms to 1h")
	}
	return nil
}

func (a *app) groups() *cobra.Command {
	var f groupsFlags
	c := &cobra.Command{
		Use:   "groups [GROUP] [flags]",
		Short: "List groups, or show the size of one",
		Long: "Lists the groups that have members now, on all edges. With --sort bytes or rate it lists all\n" +
			"groups that have messages: first those with most memory in the store, or with most messages\n" +
			"in --interval. It reads 500 groups at a time, so that it delays nobody else. With GROUP it\n" +
			"shows that group. The admin secret is required as token.",
		Example: "  gotapi groups --sort rate --limit 10\n" +
			"  gotapi groups /room/9527/",
		Args: between(0, 1, groupArgument),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := f.validate(); err != nil {
				return err
			}
			switch {
			case len(args) == 1:
				return a.runGroup(cmd.Context(), args[0])
			case f.sort == byName || f.sort == byMembers:
				return a.runGroups(cmd.Context(), f)
			}
			return a.runTop(cmd.Context(), f, 1)
		},
	}
	c.Flags().StringVar(&f.sort, "sort", byName, "`order`: name, members, bytes or rate; numbers descend")
	c.Flags().IntVarP(&f.limit, "limit", "n", 0, "show at most this many; 0: all")
	c.Flags().DurationVar(&f.interval, "interval", 2*time.Second, "how long to count messages for --sort rate")
	return c
}

func (a *app) top() *cobra.Command {
	f := groupsFlags{sort: byRate}
	rounds := 0
	c := &cobra.Command{
		Use:   "top [flags]",
		Short: "Show the groups with most messages, repeatedly",
		Long: "Shows the groups that got most messages in the last --interval, until Ctrl-C. Only stored\n" +
			"messages count. The admin secret is required as token.",
		Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if rounds < 0 {
				return usagef("--count: must not be negative")
			}
			if err := f.validate(); err != nil {
				return err
			}
			return a.runTop(cmd.Context(), f, rounds)
		},
	}
	c.Flags().IntVarP(&f.limit, "limit", "n", 20, "show at most this many; 0: all")
	c.Flags().DurationVar(&f.interval, "interval", 5*time.Second, "how long to count messages for each table")
	c.Flags().IntVarP(&rounds, "count", "c", 0, "end after this many tables; 0: never")
	return c
}

func (a *app) runGroups(ctx context.Context, f groupsFlags) error {
	return a.withServer(ctx, func(ctx context.Context, s *server) error {
		groups, err := s.Groups(ctx)
		if err != nil {
			return asAdmin(err)
		}
		if f.sort == byMembers {
			slices.SortStableFunc(groups, func(a, b gotapi.GroupInfo) int { return cmp.Compare(b.Members, a.Members) })
		}
		return a.showGroups(first(groups, f.limit))
	})
}

// first returns the first n of all, or all for 0.
func first[T any](all []T, n int) []T {
	if n == 0 {
		return all
	}
	return all[:min(n, len(all))]
}

func (a *app) showGroups(groups []gotapi.GroupInfo) error {
	if p := a.printer(); p.asJSON {
		return jsonLines(p, groups)
	}
	table := tabwriter.NewWriter(a.Out, 0, 0, 2, ' ', tabwriter.AlignRight)
	for _, g := range groups {
		fmt.Fprintf(table, "%d\t  %s\n", g.Members, terminal.Printable(g.Name))
	}
	return table.Flush()
}

func (a *app) runGroup(ctx context.Context, name string) error {
	return a.withServer(ctx, func(ctx context.Context, s *server) error {
		g, err := s.Group(ctx, name)
		if err != nil {
			return asAdmin(err)
		}
		p := a.printer()
		if p.asJSON {
			return p.json(g)
		}
		newest, oldest := "none", "none"
		if g.Messages > 0 {
			newest, oldest = fmt.Sprintf("number %d, %s", g.Seq, age(g.NewestAt)), age(g.OldestAt)
		}
		table := a.table()
		fmt.Fprintf(table, "members\t%d\n", g.Members)
		fmt.Fprintf(table, "messages\t%d\n", g.Messages)
		fmt.Fprintf(table, "memory\t%s\n", bytesOf(g.Bytes))
		fmt.Fprintf(table, "newest\t%s\n", newest)
		fmt.Fprintf(table, "oldest\t%s\n", oldest)
		fmt.Fprintf(table, "recalled\t%d\n", g.Recalls)
		expires := "never"
		if g.ExpiresIn > 0 {
			expires = "in " + seconds(g.ExpiresIn)
		}
		fmt.Fprintf(table, "expires\t%s\n", expires)
		if err := table.Flush(); err != nil {
			return err
		}
		if g.Messages > 0 && (g.NewestAt == 0 || g.OldestAt == 0) {
			p.note(terminal.Dim, "times are unknown: the server stores them only with -auth-... or -recall-window")
		}
		return nil
	})
}

// age is how long ago a Unix time was.
func age(at int64) string {
	if at == 0 {
		return "of unknown age"
	}
	return seconds(max(0, time.Now().Unix()-at)) + " old"
}

// load is a stored group with its members and its rate.
type load struct {
	gotapi.StoredGroup
	Members int     `json:"members"`
	Rate    float64 `json:"rate"`
}

// runTop shows stored groups rounds times; 0: until ctx ends.
func (a *app) runTop(ctx context.Context, f groupsFlags, rounds int) error {
	s, err := a.connect()
	if err != nil {
		return err
	}
	defer s.close()
	return a.watchTop(ctx, s, f, rounds)
}

func (a *app) watchTop(ctx context.Context, s requests, f groupsFlags, rounds int) error {
	var before map[string]uint64
	var since time.Time
	if f.sort == byRate {
		all, err := a.loads(ctx, s)
		if err != nil {
			return asAdmin(err)
		}
		before, since = numbers(all), time.Now()
	}
	for n := 0; rounds == 0 || n < rounds; n++ {
		if f.sort == byRate && backoff.Sleep(ctx, f.interval) != nil {
			return errInterrupted
		}
		all, err := a.loads(ctx, s)
		if err != nil {
			return asAdmin(err)
		}
		now := time.Now()
		rate(all, before, now.Sub(since).Seconds())
		before, since = numbers(all), now
		sortLoads(all, f.sort)
		if err := a.showLoads(first(all, f.limit), n > 0); err != nil {
			return err
		}
	}
	return nil
}

// loads reads all stored groups and their members. --timeout bounds each page.
func (a *app) loads(ctx context.Context, s requests) ([]load, error) {
	limited, cancel := a.limited(ctx)
	present, err := s.Groups(limited)
	cancel()
	if err != nil {
		return nil, err
	}
	members := make(map[string]int, len(present))
	for _, g := range present {
		members[g.Name] = g.Members
	}
	var all []load
	seen := make(map[string]bool)
	for page := ""; ; {
		limited, cancel := a.limited(ctx)
		groups, next, err := s.StoredGroups(limited, page)
		cancel()
		if err != nil {
			return nil, err
		}
		for _, g := range groups {
			if !seen[g.Name] { // a page may repeat some
				seen[g.Name] = true
				all = append(all, load{StoredGroup: g, Members: members[g.Name]})
			}
		}
		if page = next; page == "" {
			return all, nil
		}
	}
}

// numbers returns the number of each group's newest message.
func numbers(all []load) map[string]uint64 {
	seq := make(map[string]uint64, len(all))
	for _, l := range all {
		seq[l.Name] = l.Seq
	}
	return seq
}

// rate sets the rates. It counts all messages of a new group, and none of a group whose
// numbers fell because it began again.
func rate(all []load, before map[string]uint64, seconds float64) {
	if before == nil {
		return
	}
	for i, l := range all {
		if was := before[l.Name]; l.Seq > was {
			all[i].Rate = float64(l.Seq-was) / seconds
		}
	}
}

func sortLoads(all []load, order string) {
	slices.SortFunc(all, func(a, b load) int {
		if order == byRate && a.Rate != b.Rate {
			return cmp.Compare(b.Rate, a.Rate)
		}
		return cmp.Or(cmp.Compare(b.Bytes, a.Bytes), strings.Compare(a.Name, b.Name))
	})
}

// showLoads writes a table. If again is true, an empty line separates it from the one before.
func (a *app) showLoads(all []load, again bool) error {
	if p := a.printer(); p.asJSON {
		return jsonLines(p, all)
	}
	if again {
		if _, err := io.WriteString(a.Out, "\n"); err != nil {
			return err
		}
	}
	table := tabwriter.NewWriter(a.Out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprint(table, "rate/s\tmembers\tmessages\tmemory\t  group\n")
	for _, l := range all {
		fmt.Fprintf(table, "%.1f\t%d\t%d\t%s\t  %s\n", l.Rate, l.Members, l.Messages, bytesOf(l.Bytes), terminal.Printable(l.Name))
	}
	return table.Flush()
}

func (a *app) config() *cobra.Command {
	name := ""
	c := &cobra.Command{
		Use:   "config --group GROUP [flags]",
		Short: "Show the settings of a group, and where each is from",
		Long: "Shows which entry of -groups-file matches a group, and the settings that the edge and a\n" +
			"history service use for it: each value, and whether it is from the file or from a flag. It\n" +
			"needs the admin secret as token.",
		Example: "  gotapi config --group /room/9527/",
		Args:    exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if _, err := group.Parse(name); err != nil {
				return usagef("--group %q: %w", name, err)
			}
			return a.withServer(cmd.Context(), func(ctx context.Context, s *server) error {
				config, err := s.Config(ctx, name)
				if err != nil {
					return asAdmin(err)
				}
				return a.showConfig(&config)
			})
		},
	}
	c.Flags().StringVarP(&name, "group", "g", "", "`GROUP` whose settings are shown")
	return c
}

func (a *app) showConfig(c *gotapi.GroupConfig) error {
	p := a.printer()
	if p.asJSON {
		return p.json(c)
	}
	if len(c.Edge.Settings) > 0 { // none over gRPC
		if err := a.showProcess("edge", &c.Edge); err != nil {
			return err
		}
	}
	return a.showProcess("history service", &c.Service)
}

// showProcess shows what one process uses.
func (a *app) showProcess(kind string, c *gotapi.ProcessConfig) error {
	from := "no -groups-file"
	switch {
	case c.Entry > 0:
		from = fmt.Sprintf("entry %d (%s) of %s", c.Entry, c.Match, c.File)
	case c.File != "":
		from = "no entry of " + c.File
	}
	p := a.printer()
	if err := p.line(terminal.Printable(kind + " " + c.Host + ": " + from)); err != nil {
		return err
	}
	if c.Refused != "" {
		if err := p.line(p.out.Paint(terminal.Red, "  refused") + "  " + terminal.Printable(c.Refused)); err != nil {
			return err
		}
	}
	table := a.table()
	for _, s := range c.Settings {
		fmt.Fprintf(table, "  %s\t%s\t%s\n", terminal.Printable(s.Name), terminal.Printable(s.Value), terminal.Printable(s.From))
	}
	return table.Flush()
}

func (a *app) purge() *cobra.Command {
	yes := false
	c := &cobra.Command{
		Use:   "purge GROUP [flags]",
		Short: "Delete all messages of a group",
		Long: "Deletes all messages of a group. Members get code 410 and read the history again, which is\n" +
			"then empty. Publishing continues meanwhile. Sending a purged message again does not bring it\n" +
			"back. An archive keeps its copies. Without --yes it only shows what it would delete, and ends\n" +
			"with exit code 2. The admin secret is required as token.",
		Example: "  gotapi purge /room/9527/ --yes",
		Args:    exactly(groupArgument),
		RunE:    func(cmd *cobra.Command, args []string) error { return a.runPurge(cmd.Context(), args[0], yes) },
	}
	c.Flags().BoolVar(&yes, "yes", false, "delete the messages")
	return c
}

func (a *app) runPurge(ctx context.Context, name string, yes bool) error {
	if g := group.Name(name); !g.Publishable() {
		return inputf("%s keeps no messages", name)
	}
	return a.withServer(ctx, func(ctx context.Context, s *server) error {
		if !yes {
			g, err := s.Group(ctx, name)
			if err != nil {
				return asAdmin(err)
			}
			return inputf("%s has %s and %s: --yes deletes the messages", name, count(g.Messages, "message"), count(g.Members, "member"))
		}
		n, err := s.Purge(ctx, name)
		if err != nil {
			return asAdmin(err)
		}
		p := a.printer()
		if p.asJSON {
			return p.json(struct {
				Group    string `json:"group"`
				Messages int64  `json:"messages"`
			}{name, n})
		}
		return p.line(fmt.Sprintf("%s  %s %s", terminal.Printable(name), count(n, "message"), p.out.Paint(terminal.Green, "deleted")))
	})
}
