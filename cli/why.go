package cli

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/gotapi/gotapi-ws/cli/internal/terminal"
	gotapi "github.com/gotapi/gotapi-ws/clients/go"
	"github.com/gotapi/gotapi-ws/internal/refusals"
)

// This file has the commands that ask the operations port of an edge.

// maxOpsAnswer bounds an answer of an operations port, bytes.
const maxOpsAnswer = 16 << 20

// refusal is an edge's record of one kind of refusal.
type refusal struct {
	refusals.Entry
	// Edge is the address of the operations port.
	Edge string `json:"edge"`
}

// whyFlags are those of `gotapi why`.
type whyFlags struct {
	ops   []string
	group string
	user  string
	limit int
}

func (a *app) why() *cobra.Command {
	var f whyFlags
	c := &cobra.Command{
		Use:   "why [flags]",
		Short: "Show what edges refused lately, and why",
		Long: "Shows the requests, WebSockets and packets that edges refused lately, and why. Refusals of one\n" +
			"kind are one line with their count, the newest first. An edge remembers about 1000 kinds. The\n" +
			"command asks the operations port (-ops-listen) at every address of --ops. It needs no token.",
		Example: "  gotapi why --ops http://127.0.0.1:9090 --group /room/9527/\n" +
			"  gotapi why --ops http://edge-headless:9090",
		Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error { return a.runWhy(cmd.Context(), f) },
	}
	registerOps(c, &f.ops)
	c.Flags().StringVar(&f.group, "group", "", "show only refusals in this `group`")
	c.Flags().StringVar(&f.user, "user", "", "show only refusals of the user with this `name`; HTTP requests have no user")
	c.Flags().IntVarP(&f.limit, "limit", "n", 20, "show at most this many; 0: all")
	return c
}

func (a *app) runWhy(ctx context.Context, f whyFlags) error {
	if f.limit < 0 {
		return usagef("--limit: must not be negative")
	}
	type answer struct{ Refusals []refusal }
	var all []refusal
	err := askOps(ctx, a, f.ops, "refusals", nil, func(edge string, of answer) {
		for _, r := range of.Refusals {
			r.Edge = edge
			all = append(all, r)
		}
	})
	if err != nil {
		return err
	}
	all = slices.DeleteFunc(all, func(r refusal) bool {
		return f.group != "" && r.Group != f.group || f.user != "" && r.User != f.user
	})
	slices.SortStableFunc(all, func(a, b refusal) int { return b.Last.Compare(a.Last) })
	return a.showRefusals(first(all, f.limit))
}

func (a *app) showRefusals(all []refusal) error {
	p := a.printer()
	if p.asJSON {
		return jsonLines(p, all)
	}
	if len(all) == 0 {
		p.note(terminal.Dim, "nothing was refused")
		return nil
	}
	table := a.table()
	fmt.Fprintln(table, "last\tcount\tcode\twhat\tgroup\tuser\taddress\treason")
	for _, r := range all {
		fmt.Fprintf(table, "%s\t%d\t%d\t%s\t%s\t%s\t%s\t%s\n", r.Last.Local().Format(time.TimeOnly), r.Count, r.Code, terminal.Printable(r.What),
			terminal.Printable(r.Group), terminal.Printable(r.User), terminal.Printable(r.Address), terminal.Printable(r.Reason))
	}
	return table.Flush()
}

// askOps sends a request for path to every address of the operations ports, within
// --timeout, and calls take with each answer.
func askOps[T any](ctx context.Context, a *app, ops []string, path string, query url.Values, take func(edge string, answer T)) error {
	ctx, cancel := a.limited(ctx)
	defer cancel()
	for _, address := range ops {
		u, err := url.Parse(address)
		if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
			return usagef("--ops: not a URL such as http://127.0.0.1:9090")
		}
		hosts, err := opsHosts(ctx, u)
		if err != nil {
			return err
		}
		for _, host := range hosts {
			one := u.JoinPath(path)
			one.Host, one.RawQuery = host, query.Encode()
			body, err := getOps(ctx, one)
			var answer T
			if err == nil && json.Unmarshal(body, &answer) != nil {
				err = errors.New(host + " is not an operations port")
			}
			if err != nil {
				return fmt.Errorf("%w; start the edge with -ops-listen 127.0.0.1:9090, and pass that address with --ops", err)
			}
			take(host, answer)
		}
	}
	return nil
}

// opsHosts returns every address of the name in u, each with the port. If a name such as
// localhost has both IPv4 and IPv6 addresses, it returns only the former, so that no edge
// is asked twice.
func opsHosts(ctx context.Context, u *url.URL) ([]string, error) {
	if u.Scheme == "https" { // the certificate names the host
		return []string{u.Host}, nil
	}
	addresses, err := net.DefaultResolver.LookupNetIP(ctx, "ip4", u.Hostname())
	if err != nil {
		addresses, err = net.DefaultResolver.LookupNetIP(ctx, "ip6", u.Hostname())
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errUnreachable, err)
	}
	var hosts []string
	for _, address := range addresses {
		hosts = append(hosts, net.JoinHostPort(address.Unmap().String(), cmp.Or(u.Port(), "80")))
	}
	return hosts, nil
}

func getOps(ctx context.Context, u *url.URL) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), http.NoBody)
	if err != nil {
		return nil, err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, reach(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, maxOpsAnswer))
	switch {
	case err != nil:
		return nil, reach(err)
	case response.StatusCode == http.StatusNotFound:
		return nil, &gotapi.Error{Code: http.StatusNotFound, Msg: u.Host + " is not the operations port of an edge"}
	case response.StatusCode != http.StatusOK:
		return nil, &gotapi.Error{Code: response.StatusCode, Msg: fmt.Sprintf("%s answered %s", u.Host, response.Status)}
	}
	return body, nil
}

// groupMember is one member of a group as its edge knows it.
type groupMember struct {
	User    string    `json:"user,omitempty"`
	Address string    `json:"address"`
	Since   time.Time `json:"since"`
	// QueuedBytes are waiting to be sent to the member.
	QueuedBytes int    `json:"queuedBytes"`
	Session     uint32 `json:"session"`
	Edge        string `json:"edge"`
}

func (a *app) who() *cobra.Command {
	var ops []string
	c := &cobra.Command{
		Use:   "who GROUP [flags]",
		Short: "Show the members of a group on each edge",
		Long: "Shows the members of a group on each edge: user, address, how long they are connected, and how\n" +
			"many bytes wait to be sent to them. An edge lists at most 1000. The command asks the operations\n" +
			"port (-ops-listen) at every address of --ops. It needs no token.",
		Example: "  gotapi who /room/9527/ --ops http://edge-headless:9090",
		Args:    exactly(groupArgument),
		RunE:    func(cmd *cobra.Command, args []string) error { return a.runWho(cmd.Context(), args[0], ops) },
	}
	registerOps(c, &ops)
	return c
}

// registerOps defines --ops.
func registerOps(c *cobra.Command, ops *[]string) {
	c.Flags().StringArrayVar(ops, "ops", []string{"http://127.0.0.1:9090"}, "`url` of an edge's operations port; may be repeated; a name with several addresses means all of them")
}

func (a *app) runWho(ctx context.Context, group string, ops []string) error {
	type answer struct {
		Total   int
		Members []groupMember
	}
	var all []groupMember
	total := 0
	err := askOps(ctx, a, ops, "members", url.Values{"groupName": {group}}, func(edge string, of answer) {
		total += of.Total
		for _, m := range of.Members {
			m.Edge = edge
			all = append(all, m)
		}
	})
	if err != nil {
		return err
	}
	p := a.printer()
	if p.asJSON {
		return jsonLines(p, all)
	}
	if total == 0 {
		p.note(terminal.Dim, "nobody is in %s", group)
		return nil
	}
	table := a.table()
	fmt.Fprintln(table, "user\taddress\tfor\twaiting\tedge")
	for _, m := range all {
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\n", terminal.Printable(m.User), terminal.Printable(m.Address),
			seconds(int64(time.Since(m.Since).Seconds())), bytesOf(int64(m.QueuedBytes)), m.Edge)
	}
	if err := table.Flush(); err != nil {
		return err
	}
	if total > len(all) {
		p.note(terminal.Yellow, "shown: %d of %d members", len(all), total)
	}
	return nil
}
