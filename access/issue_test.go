package access

import (
	"crypto/ecdh"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/go-cmp/cmp"
)

func pemBlock(t *testing.T, kind string, der []byte, err error) string {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
}

func TestTokensOfEveryKindOfPrivateKeyAreAccepted(t *testing.T) {
	pairs := keyPairs(t)
	forms := map[string]string{}
	for name, p := range pairs {
		der, err := x509.MarshalPKCS8PrivateKey(p.private)
		forms[name+" PKCS 8"] = pemBlock(t, "PRIVATE KEY", der, err)
	}
	forms["RS256 PKCS 1"] = pemBlock(t, "RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(pairs["RS256"].private.(*rsa.PrivateKey)), nil)
	der, err := x509.MarshalPKCS8PrivateKey(pairs["ES256"].private)
	forms["ES256 after its parameters"] = pemBlock(t, "EC PARAMETERS", []byte{6, 1, 0}, nil) + pemBlock(t, "PRIVATE KEY", der, err)
	for name, form := range forms {
		alg, _, _ := strings.Cut(name, " ")
		keys, err := ParsePEM([]byte(form))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		token, err := keys.Issue(&Claims{Subject: "alice", Expires: time.Now().Add(time.Hour)}, DefaultClaim)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		server := newGuard(t, Config{PEMFile: write(t, "keys.pem", pemOf(t, pairs[alg].private.Public()))})
		if id, err := server.Identify(t.Context(), token); err != nil || id.Name() != "alice" {
			t.Errorf("%s: the server says %v", name, err)
		}
		if said, err := new(Config).Explain(token, keys); err != nil || said.Signature != Valid || said.Header["alg"] != alg {
			t.Errorf("%s: explained as %+v, %v", name, said, err)
		}
	}
}

func TestKeysThatCannotSignAreRefused(t *testing.T) {
	small, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	smallDER, err1 := x509.MarshalPKCS8PrivateKey(small)
	agreement, err := ecdh.X25519().GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	agreementDER, err2 := x509.MarshalPKCS8PrivateKey(agreement)
	for name, form := range map[string]string{
		"use at least 2048": pemBlock(t, "PRIVATE KEY", smallDER, err1),
		"cannot sign":       pemBlock(t, "PRIVATE KEY", agreementDER, err2),
		"is encrypted":      pemBlock(t, "ENCRYPTED PRIVATE KEY", []byte("?"), nil),
		"no usable key":     "hello",
		"PEM block":         pemBlock(t, "DH PARAMETERS", []byte("?"), nil),
		"byte order mark":   "\xef\xbb\xbf" + pemBlock(t, "PRIVATE KEY", smallDER, nil),
	} {
		if _, err := ParsePEM([]byte(form)); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%v, want %q", err, name)
		}
	}
}

func TestTheFirstSecretSigns(t *testing.T) {
	first, second := strings.Repeat("first", 8), strings.Repeat("second", 8)
	keys, err := ParseSecret([]byte(first + "\n" + second + "\n"))
	if err != nil {
		t.Fatal(err)
	}
	token, err := keys.Issue(&Claims{Expires: time.Now().Add(time.Hour)}, DefaultClaim)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := newGuard(t, Config{SecretFile: write(t, "s", first)}).Identify(t.Context(), token); err != nil {
		t.Errorf("with the first secret: %v", err)
	}
	if _, err := newGuard(t, Config{SecretFile: write(t, "s", second)}).Identify(t.Context(), token); err == nil {
		t.Error("accepted with the second secret alone")
	}
}

// TestARefusedTokenIsToldWhichClaim: by the server, and when it is explained.
func TestARefusedTokenIsToldWhichClaim(t *testing.T) {
	cfg := Config{SecretFile: write(t, "secret", secret), Issuer: "https://id.example", Audience: "chat", Claim: DefaultClaim}
	server := newGuard(t, cfg)
	keys, err := ParseSecret([]byte(secret))
	if err != nil {
		t.Fatal(err)
	}
	past, future := time.Date(2020, 1, 2, 3, 4, 5, 0, time.UTC), time.Date(2100, 1, 2, 3, 4, 5, 0, time.UTC)
	for _, tt := range []struct {
		name  string
		value any
		want  string
	}{
		{"exp", past.Unix(), "the token has expired: exp is 2020-01-02T03:04:05Z"},
		{"exp", nil, "the token lacks the claim exp"},
		{"exp", "never", "exp, nbf, iss or aud of the token is of a wrong type"},
		{"nbf", future.Unix(), "the token is not valid yet: nbf is 2100-01-02T03:04:05Z"},
		{"iss", "https://evil.example", "the token is not for this server: iss is another issuer"},
		{"iss", nil, "the token lacks the claim iss"},
		{"aud", "mail", "the token is not for this server: aud does not name it"},
		{"aud", nil, "the token lacks the claim aud"},
		{"sub", 7, "the token's claims cannot be used: sub is not a string of at most 256 bytes"},
		{"gotapi", map[string]any{"join": "/room"}, "the token's claims cannot be used: claim gotapi: not the rights that docs/security.md describes"},
		{"gotapi", map[string]any{"join": []string{"room"}}, `the token's claims cannot be used: pattern "room": a group name begins with a slash`},
	} {
		claims := jwt.MapClaims{"iss": "https://id.example", "aud": "chat"}
		claims[tt.name] = tt.value
		token := hs256(t, claims)
		_, err := server.Identify(t.Context(), token)
		if err == nil || err.Error() != tt.want {
			t.Errorf("%s = %v: %v, want %q", tt.name, tt.value, err, tt.want)
		}
		for _, with := range []*Keys{keys, nil} {
			said, err := cfg.Explain(token, with)
			if err != nil || said.Refused == nil || said.Refused.Error() != tt.want {
				t.Errorf("%s = %v, with a key %t: explained as %+v, %v", tt.name, tt.value, with != nil, said, err)
			}
		}
		if strings.Contains(tt.want, "chat") || strings.Contains(tt.want, "id.example") {
			t.Errorf("%q says what would be right", tt.want)
		}
	}
}

func TestWhatIsNoTokenCannotBeExplained(t *testing.T) {
	for _, token := range []string{"", "hello", "a.b.c", "gotapi_KEY", strings.Repeat("x", maxTokenBytes+1)} {
		if said, err := new(Config).Explain(token, nil); err == nil {
			t.Errorf("%.20q: explained as %+v", token, said)
		}
	}
}

func TestCriticalHeadersAndForgedSignaturesAreExplained(t *testing.T) {
	keys, err := ParseSecret([]byte(secret))
	if err != nil {
		t.Fatal(err)
	}
	critical := jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.MapClaims{"exp": time.Now().Add(time.Hour).Unix()})
	critical.Header["crit"] = []string{"b64"}
	signedCritical, err := critical.SignedString([]byte(secret))
	if err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		token string
		keys  *Keys
		want  Signature
	}{
		"critical":              {signedCritical, keys, Unchecked},
		"critical, without key": {signedCritical, nil, Unchecked},
		"forged":                {signed(t, jwt.SigningMethodHS256, []byte(strings.Repeat("x", 32)), "", nil), keys, Invalid},
		"alg none, without key": {signed(t, jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, "", nil), nil, Invalid},
		"HS512, without key":    {signed(t, jwt.SigningMethodHS512, []byte(secret), "", nil), nil, Invalid},
		"alg none":              {signed(t, jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, "", nil), keys, Invalid},
	} {
		said, err := new(Config).Explain(tt.token, tt.keys)
		if err != nil || said.Refused == nil || said.Signature != tt.want {
			t.Errorf("%s: %+v, %v; want it refused, and its signature %s", name, said, err, tt.want)
		}
	}
}

func TestAGrantIsWrittenAsItIsRead(t *testing.T) {
	for _, text := range []string{
		`{}`, `{"join":["/a"],"publish":["/b"],"read":["/c"],"recall":"own","admin":["/**"]}`,
		`{"recall":"any"}`, `{"recall":{"own":["/a"],"any":["/b"]}}`,
	} {
		var g Grant
		if err := json.Unmarshal([]byte(text), &g); err != nil {
			t.Fatal(err)
		}
		if b, err := json.Marshal(&g); err != nil || string(b) != text {
			t.Errorf("%s is written as %s, %v", text, b, err)
		}
	}
}

func TestRightsByPattern(t *testing.T) {
	var g Grant
	if err := json.Unmarshal([]byte(`{"join":["/a","/b"],"publish":["/b","/b"],"recall":"any","admin":true}`), &g); err != nil {
		t.Fatal(err)
	}
	want := []PatternRights{{"/a", []string{"join"}}, {"/b", []string{"join", "publish", "recall any"}}, {"/**", []string{"admin"}}}
	if diff := cmp.Diff(want, g.ByPattern()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestARefusalNamesTheRightThatIsMissing(t *testing.T) {
	alice, nameless := identityOf(t, `{}`, "alice"), identityOf(t, `{"publish":["/room"],"recall":"own"}`, "")
	_, recall := alice.Recall("/room")
	_, own := nameless.Recall("/room")
	for want, err := range map[string]error{
		"the right join": alice.May(Join, "/room"), "the right publish": alice.May(Publish, "/room"), "the right read": alice.May(Read, "/room"),
		"the right admin": alice.May(Admin, "/room"), "the right recall": recall, "the token lacks sub": own,
	} {
		if err == nil || !strings.HasSuffix(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}
