package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/gotapi/gotapi-ws/access"
	"github.com/gotapi/gotapi-ws/cli/internal/terminal"
)

// tokenFlags are the flags that `gotapi token` and `gotapi token inspect` share: settings of
// the server.
type tokenFlags struct {
	secretFile, keyFile string
	issuer, claim       string
	audience            []string
}

func (f *tokenFlags) register(c *cobra.Command, secretUsage, keyUsage string) {
	c.Flags().StringVar(&f.secretFile, "secret-file", "", secretUsage)
	c.Flags().StringVar(&f.keyFile, "key-file", "", keyUsage)
	c.Flags().StringVar(&f.claim, "claim", access.DefaultClaim, "`name` of the claim that holds the rights, as the server's -auth-claim")
}

// keys reads the key file. It returns nil if no flag names one.
func (f *tokenFlags) keys() (*access.Keys, error) {
	flag, path, parse := "--secret-file", f.secretFile, access.ParseSecret
	switch {
	case f.secretFile != "" && f.keyFile != "":
		return nil, usagef("--secret-file and --key-file cannot be combined")
	case f.keyFile != "":
		flag, path, parse = "--key-file", f.keyFile, access.ParsePEM
	case f.secretFile == "":
		return nil, nil
	}
	b, err := os.ReadFile(path) //nolint:gosec // the user names the file
	if err != nil {
		return nil, inputf("%s: %w", flag, err)
	}
	keys, err := parse(b)
	if err != nil {
		return nil, inputf("%s: %s: %w", flag, path, err)
	}
	return keys, nil
}

// newTokenFlags are those of `gotapi token`.
type newTokenFlags struct {
	tokenFlags
	subject  string
	lifetime time.Duration
	grant    access.Grant
}

func (a *app) token() *cobra.Command {
	var f newTokenFlags
	c := &cobra.Command{
		Use:   "token [flags]",
		Short: "Make a token for a user, or inspect one",
		Long: "Makes a JSON Web Token, signed with the server's secret or a private key, and writes only the\n" +
			"token to standard output. It connects to no server.\n\n" +
			"A PATTERN is a group in which * matches one segment, ** at the end matches the rest, and $sub\n" +
			"is the user's name. Flags with a PATTERN may be repeated. Without any of them, the token has no\n" +
			"rights of its own, and the server's -auth-policy-file decides.",
		Example: "  gotapi token --secret-file secret --sub alice --join '/room/**' --publish '/room/**' --read '/room/**'\n" +
			"  gotapi token --key-file key.pem --sub ops --admin '/**' --for 5m >token",
		Args: exactly(),
		RunE: func(*cobra.Command, []string) error { return a.runToken(f) },
	}
	f.register(c, "`path` of the HS256 secret, the server's -auth-secret-file; its first line signs",
		"`path` of the private key for RS256, ES256 or EdDSA, PEM; the server's -auth-keys-file has the public key")
	c.Flags().StringVar(&f.subject, "sub", "", "`name` of the user")
	c.Flags().DurationVar(&f.lifetime, "for", time.Hour, "lifetime of the token")
	c.Flags().StringVar(&f.issuer, "iss", "", "`issuer`, as the server's -auth-issuer")
	c.Flags().StringArrayVar(&f.audience, "aud", nil, "`audience`, one of the server's -auth-audience; may be repeated")
	for _, right := range []struct {
		name, usage string
		patterns    *[]string
	}{
		{"join", "allow joining groups that match this `PATTERN`", &f.grant.Join},
		{"publish", "allow publishing to groups that match this `PATTERN`", &f.grant.Publish},
		{"read", "allow reading the history of groups that match this `PATTERN`", &f.grant.Read},
		{"recall-own", "allow recalling the user's own messages in groups that match this `PATTERN`", &f.grant.Recall.Own},
		{"recall-any", "allow recalling any message in groups that match this `PATTERN`", &f.grant.Recall.Any},
		{"admin", "allow administering groups that match this `PATTERN`", (*[]string)(&f.grant.Admin)},
	} {
		c.Flags().StringArrayVar(right.patterns, right.name, nil, right.usage)
	}
	c.Flags().StringArrayVar((*[]string)(&f.grant.ActAs), "act-as", nil, "allow being the author for this `user`, or for every user: '*'; may be repeated")
	c.Flags().StringVar(&f.grant.Recall.Short, "recall", "", "`whose` messages the user may recall in the groups of --publish: own or any")
	c.AddCommand(a.inspect())
	return c
}

func (f *newTokenFlags) validate() error {
	recall := &f.grant.Recall
	switch {
	case f.secretFile == "" && f.keyFile == "":
		return usagef("--secret-file or --key-file is missing: one of them must sign the token")
	case f.lifetime < time.Second:
		return usagef("--for: must be at least 1s")
	case f.claim == "":
		return usagef("--claim: must not be empty")
	case !slices.Contains([]string{"", "own", "any"}, recall.Short):
		return usagef("--recall: %q is not own or any; --recall-own and --recall-any take a PATTERN", recall.Short)
	case recall.Short != "" && len(recall.Own)+len(recall.Any) > 0:
		return usagef("--recall cannot be combined with --recall-own or --recall-any")
	case recall.Short != "" && len(f.grant.Publish) == 0:
		return usagef("--recall needs --publish: it applies to the groups of that flag")
	}
	return nil
}

func (a *app) runToken(f newTokenFlags) error {
	if err := f.validate(); err != nil {
		return err
	}
	keys, err := f.keys()
	if err != nil {
		return err
	}
	claims := &access.Claims{Subject: f.subject, Issuer: f.issuer, Audience: f.audience, Expires: time.Now().Add(f.lifetime)}
	if len(f.grant.ByPattern()) > 0 || len(f.grant.ActAs) > 0 {
		claims.Grant = &f.grant
	}
	token, err := keys.Issue(claims, f.claim)
	if err != nil {
		return inputError{err}
	}
	p := a.printer()
	if p.asJSON {
		return p.json(struct {
			Token   string    `json:"token"`
			Expires time.Time `json:"expires"`
		}{token, claims.Expires.UTC().Truncate(time.Second)})
	}
	return p.line(token)
}

func (a *app) inspect() *cobra.Command {
	var f tokenFlags
	c := &cobra.Command{
		Use:   "inspect [TOKEN|-] [flags]",
		Short: "Show a token's claims, and whether a server accepts it",
		Long: "Shows a token's claims and its rights by pattern. With a key it checks the signature, with --iss\n" +
			"and --aud those claims as well. If a server would refuse the token, the exit code is 1. It\n" +
			"connects to no server.\n\n" +
			"Without TOKEN it reads GOTAPI_TOKEN or --token-file. With - it reads standard input, which other\n" +
			"users of this machine cannot see.",
		Example: "  gotapi token inspect --secret-file secret - <token",
		Args:    between(0, 1, "TOKEN"),
		RunE:    func(_ *cobra.Command, args []string) error { return a.runInspect(f, args) },
	}
	f.register(c, "`path` of the HS256 secret, the server's -auth-secret-file", "`path` of the public or private key for RS256, ES256 or EdDSA, PEM")
	c.Flags().StringVar(&f.issuer, "iss", "", "`issuer` that the server requires, its -auth-issuer")
	c.Flags().StringArrayVar(&f.audience, "aud", nil, "`audience` that the server accepts, its -auth-audience; may be repeated")
	return c
}

// maxToken bounds a token on standard input, bytes. Servers accept 8 KiB.
const maxToken = 64 << 10

func (a *app) tokenToInspect(args []string) (token string, err error) {
	switch {
	case len(args) == 0:
		token, err = a.settings.readToken()
	case args[0] == "-":
		var b []byte
		b, err = io.ReadAll(io.LimitReader(a.In, maxToken))
		token = strings.TrimSpace(string(b))
	default:
		token = args[0]
	}
	if err == nil && token == "" {
		err = usagef("TOKEN is missing: pass it, - for standard input, GOTAPI_TOKEN or --token-file")
	}
	return token, err
}

func (a *app) runInspect(f tokenFlags, args []string) error {
	token, err := a.tokenToInspect(args)
	if err != nil {
		return err
	}
	keys, err := f.keys()
	if err != nil {
		return err
	}
	server := access.Config{Issuer: f.issuer, Audience: strings.Join(f.audience, ","), Leeway: access.DefaultLeeway, Claim: f.claim}
	said, err := server.Explain(token, keys)
	if err != nil {
		return inputError{err}
	}
	if err := a.showToken(said, f.claim); err != nil {
		return err
	}
	if said.Refused != nil {
		return reportedError{said.Refused}
	}
	return nil
}

// inspected is what --json writes of a token.
type inspected struct {
	Header    map[string]any         `json:"header"`
	Claims    map[string]any         `json:"claims"`
	Rights    []access.PatternRights `json:"rights"`
	ActAs     []string               `json:"act_as,omitempty"`
	Signature access.Signature       `json:"signature"`
	Refused   string                 `json:"refused,omitempty"`
}

func (a *app) showToken(t *access.Token, claim string) error {
	p := a.printer()
	rights := []access.PatternRights{}
	var actAs []string
	if t.Grant != nil {
		rights, actAs = append(rights, t.Rights()...), t.Grant.ActAs
	}
	if p.asJSON {
		out := inspected{Header: t.Header, Claims: t.Claims, Rights: rights, ActAs: actAs, Signature: t.Signature}
		if t.Refused != nil {
			out.Refused = t.Refused.Error()
		}
		return p.json(out)
	}
	table := a.table()
	row := func(name, text string) {
		fmt.Fprintf(table, "%s\t%s\n", terminal.Printable(name), terminal.Printable(text))
	}
	for _, name := range slices.Sorted(maps.Keys(t.Header)) {
		row(name, plain(t.Header[name]))
	}
	now := time.Now()
	for _, name := range slices.Sorted(maps.Keys(t.Claims)) {
		at, isTime := map[string]time.Time{"iat": t.Issued, "nbf": t.NotBefore, "exp": t.Expires}[name]
		switch {
		case name == claim && t.Grant != nil: // below
		case isTime && !at.IsZero():
			row(name, when(at, now))
		default:
			row(name, plain(t.Claims[name]))
		}
	}
	_, has := t.Claims[claim]
	switch {
	case !has:
		row("rights", "no claim "+claim+": the server's -auth-policy-file decides")
	case len(rights) == 0 && len(actAs) == 0:
		row("rights", "none")
	default:
		showRights(row, rights, actAs)
	}
	row("signature", map[access.Signature]string{
		access.Unchecked: "not checked; --secret-file or --key-file checks it", access.Valid: "valid", access.Invalid: "invalid",
	}[t.Signature])
	if err := table.Flush(); err != nil {
		return err
	}
	if t.Refused != nil {
		return p.line(p.out.Paint(terminal.Red, "refused") + ": " + terminal.Printable(t.Refused.Error()))
	}
	return nil
}

func showRights(row func(name, text string), rights []access.PatternRights, actAs []string) {
	for _, r := range rights {
		if len(r.Rights) == 0 {
			row("in "+r.Pattern, "nothing: sub is missing, or has a slash")
			continue
		}
		row("in "+r.Pattern, strings.Join(r.Rights, ", "))
	}
	if len(actAs) > 0 {
		row("acts for", strings.Join(actAs, ", "))
	}
}

// plain is a JSON value for people: a string without its quotes.
func plain(v any) string {
	if text, ok := v.(string); ok {
		return text
	}
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Sprint(v)
	}
	return string(b)
}

// when is a time, and how far it is from now.
func when(at, now time.Time) string {
	whole := func(d time.Duration) string { return seconds(int64(d.Round(time.Second) / time.Second)) }
	words := whole(now.Sub(at)) + " ago"
	if at.After(now) {
		words = "in " + whole(at.Sub(now))
	}
	return at.UTC().Format(time.RFC3339) + ", " + words
}
