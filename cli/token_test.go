package cli_test

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gotapi/gotapi-ws/access"
	"github.com/gotapi/gotapi-ws/cli"
)

const tokenSecret = "a secret of the tests that has more than 32 bytes"

func write(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// keyPair returns the files of a private key and its public one.
func keyPair(t *testing.T) (private, public string) {
	t.Helper()
	pub, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	pubDER, err := x509.MarshalPKIXPublicKey(pub)
	if err != nil {
		t.Fatal(err)
	}
	return write(t, "key.pem", string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER}))),
		write(t, "pub.pem", string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: pubDER})))
}

func TestAServerTakesTheTokenWithItsRights(t *testing.T) {
	secret := write(t, "secret", tokenSecret+"\n")
	private, public := keyPair(t)
	for _, tt := range []struct {
		sign   []string
		server access.Config
	}{
		{[]string{"--secret-file", secret}, access.Config{SecretFile: secret}},
		{[]string{"--key-file", private}, access.Config{PEMFile: public}},
		{[]string{"--key-file", private, "--claim", "rights"}, access.Config{PEMFile: public, Claim: "rights"}},
	} {
		args := append([]string{
			"token", "--sub", "alice", "--iss", "https://id.example", "--aud", "chat", "--aud", "other",
			"--join", "/room/**", "--join", "/user/$sub/**", "--publish", "/room/**", "--recall", "own",
		}, tt.sign...)
		got := gotapi(t.Context(), nil, "", args...)
		if got.code != cli.ExitOK || got.err != "" || strings.Count(got.out, "\n") != 1 {
			t.Fatalf("%q: %+v, want the token alone", args, got)
		}
		server := tt.server
		server.Issuer, server.Audience = "https://id.example", "chat"
		if server.Claim == "" {
			server.Claim = access.DefaultClaim
		}
		authorizer, err := access.New(server, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		id, err := authorizer.Identify(t.Context(), strings.TrimSpace(got.out))
		if err != nil || id.Name() != "alice" {
			t.Fatalf("%q: the server says %v", tt.sign, err)
		}
		if err := id.May(access.Join, "/user/alice/1"); err != nil {
			t.Errorf("%q: join: %v", tt.sign, err)
		}
		if limit, err := id.Recall("/room/1"); err != nil || limit.Author == nil {
			t.Errorf("%q: recall: %+v, %v", tt.sign, limit, err)
		}
		if err := id.May(access.Read, "/room/1"); err == nil {
			t.Errorf("%q: a right that was not given", tt.sign)
		}
	}
}

func TestATokenThatNoServerWouldTakeIsNotMade(t *testing.T) {
	secret, short := write(t, "secret", tokenSecret), write(t, "short", "a short secret")
	_, public := keyPair(t)
	for _, tt := range []struct{ args, want string }{
		{"--secret-file " + short, "use at least 32"},
		{"--key-file " + public, "use a private key"},
		{"--secret-file " + secret + " --join room/*", `pattern "room/*"`},
		{"--secret-file " + secret + " --join /user/$sub", "$sub needs a subject"},
		{"--secret-file " + secret + " --join /user/$sub --sub a/b", "$sub needs a subject"},
		{"--secret-file " + secret + " --sub " + strings.Repeat("x", 257), "sub is not a string of at most 256 bytes"},
		{"--secret-file " + secret + " --sub a\xff", "sub is not valid UTF-8"},
		{"--secret-file " + secret + " --act-as " + strings.Repeat("x", 257), "act_as: "},
		{"--secret-file " + secret + " --iss " + strings.Repeat("x", 8000), "servers accept at most 8192"},
	} {
		got := gotapi(t.Context(), nil, "", append([]string{"token"}, strings.Fields(tt.args)...)...)
		if got.code != cli.ExitUsage || got.out != "" || !strings.Contains(got.err, tt.want) || strings.Contains(got.err, "a short secret") {
			t.Errorf("gotapi token %.60s: %+v, want %q", tt.args, got, tt.want)
		}
	}
}

// newToken makes a token with the secret of the tests.
func newToken(t *testing.T, args ...string) string {
	t.Helper()
	got := gotapi(t.Context(), nil, "", append([]string{"token", "--secret-file", write(t, "secret", tokenSecret)}, args...)...)
	if got.code != cli.ExitOK {
		t.Fatalf("%q: %+v", args, got)
	}
	return strings.TrimSpace(got.out)
}

func TestInspectExplainsAToken(t *testing.T) {
	secret, wrong := write(t, "secret", tokenSecret), write(t, "wrong", strings.Repeat("wrong", 9))
	token := newToken(t, "--sub", "alice", "--for", "2h30m", "--aud", "chat", "--join", "/room/**", "--publish", "/room/**", "--recall", "own", "--admin", "/ops")
	for _, tt := range []struct {
		args       []string
		code       int
		want, lack []string
	}{
		{[]string{token}, cli.ExitOK, []string{
			"alg          HS256\n", "sub          alice\n", "aud          chat\n", "Z, in 2h", "s ago\n",
			"in /room/**  join, publish, recall own\n", "in /ops      admin\n", "signature    not checked; --secret-file or --key-file checks it\n",
		}, []string{"refused", "gotapi "}},
		{[]string{"-", "--secret-file", secret}, cli.ExitOK, []string{"signature    valid\n"}, []string{"refused"}},
		{[]string{"--secret-file", secret, "--aud", "chat"}, cli.ExitOK, []string{"signature    valid\n"}, []string{"refused"}},
		{[]string{token, "--secret-file", wrong}, cli.ExitFailed, []string{"signature    invalid\n", "refused: the token is signed with another key"}, nil},
		{[]string{token, "--aud", "mail"}, cli.ExitFailed, []string{"signature    not checked", "refused: the token is not for this server: aud does not name it\n"}, nil},
		{[]string{token, "--iss", "https://id.example"}, cli.ExitFailed, []string{"refused: the token lacks the claim iss\n"}, nil},
		{[]string{token, "--claim", "rights"}, cli.ExitOK, []string{"rights     no claim rights: the server's -auth-policy-file decides\n"}, nil},
	} {
		got := gotapi(t.Context(), map[string]string{"GOTAPI_TOKEN": token}, token+"\n", append([]string{"token", "inspect"}, tt.args...)...)
		if got.code != tt.code || got.err != "" {
			t.Errorf("%q: %+v, want exit code %d", tt.args, got, tt.code)
		}
		for _, want := range tt.want {
			if !strings.Contains(got.out, want) {
				t.Errorf("%q: no %q in\n%s", tt.args, want, got.out)
			}
		}
		for _, lack := range append(tt.lack, token, tokenSecret) {
			if strings.Contains(got.out, lack) {
				t.Errorf("%q: %q in\n%s", tt.args, lack, got.out)
			}
		}
	}
}

func TestATokenForABackendNamesItsUsers(t *testing.T) {
	token := newToken(t, "--sub", "shop", "--act-as", "alice", "--act-as", "bob", "--publish", "/room/**")
	got := gotapi(t.Context(), nil, "", "token", "inspect", token)
	if got.code != cli.ExitOK || !strings.Contains(got.out, "in /room/**  publish\nacts for     alice, bob\n") {
		t.Errorf("%+v", got)
	}
	got = gotapi(t.Context(), nil, "", "token", "inspect", "--json", newToken(t, "--sub", "shop", "--act-as", "*"))
	if !strings.Contains(got.out, `"rights":[],"act_as":["*"]`) {
		t.Errorf("every user: %+v", got)
	}
	got = gotapi(t.Context(), nil, "", "token", "inspect", newToken(t, "--sub", "shop", "--act-as", "*"))
	if !strings.Contains(got.out, "acts for   *\n") || strings.Contains(got.out, "rights") {
		t.Errorf("every user: %+v", got)
	}
}

func TestInspectWritesJSON(t *testing.T) {
	got := gotapi(t.Context(), nil, "", "token", "inspect", "--json", "--iss", "x", newToken(t, "--sub", "\x1b[2J", "--join", "/a"))
	var said struct {
		Header, Claims map[string]any
		Rights         []access.PatternRights
		Signature      string
		Refused        string
	}
	if err := json.Unmarshal([]byte(got.out), &said); err != nil || got.code != cli.ExitFailed {
		t.Fatalf("%+v: %v", got, err)
	}
	if said.Header["alg"] != "HS256" || said.Claims["sub"] != "\x1b[2J" || said.Signature != "unchecked" || !strings.Contains(said.Refused, "iss") {
		t.Errorf("%+v", said)
	}
	if diff := cmp.Diff([]access.PatternRights{{Pattern: "/a", Rights: []string{"join"}}}, said.Rights); diff != "" {
		t.Errorf("rights (-want +got):\n%s", diff)
	}
}

func TestATokensTextsCannotMoveTheCursor(t *testing.T) {
	got := gotapi(t.Context(), nil, "", "token", "inspect", newToken(t, "--sub", "\x1b[2J", "--claim", "\x1b[3J", "--join", "/a"))
	if got.code != cli.ExitOK || strings.Contains(got.out, "\x1b") || !strings.Contains(got.out, `\u001b[2J`) {
		t.Errorf("%+v", got)
	}
}

func TestAPatternForNobodyGivesNoRights(t *testing.T) {
	token := signed(t, `{"exp":4000000000,"gotapi":{"join":["/user/$sub/","/room/*"]}}`)
	got := gotapi(t.Context(), nil, "", "token", "inspect", token)
	if got.code != cli.ExitOK || !strings.Contains(got.out, "in /user/$sub/  nothing: sub is missing, or has a slash\n") || !strings.Contains(got.out, "in /room/*      join\n") {
		t.Errorf("%+v", got)
	}
}

func TestATimeBeyondAllClocksIsPast(t *testing.T) {
	got := gotapi(t.Context(), nil, "", "token", "inspect", signed(t, `{"exp":1e300}`))
	if got.code != cli.ExitFailed || !strings.Contains(got.out, "d ago\n") || strings.Contains(got.out, ", -") {
		t.Errorf("%+v", got)
	}
}

// signed is a token with these claims and some signature.
func signed(t *testing.T, claims string) string {
	t.Helper()
	part := base64.RawURLEncoding.EncodeToString
	return part([]byte(`{"alg":"HS256"}`)) + "." + part([]byte(claims)) + ".AAAA"
}
