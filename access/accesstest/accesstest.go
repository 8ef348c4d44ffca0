// Package accesstest makes callers for tests.
package accesstest

import (
	"encoding/json"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/gotapi/gotapi-ws/access"
)

// User returns the caller of a token with that subject and these rights, in JSON, until it
// expires.
func User(t *testing.T, subject, grant string, lives time.Duration) *access.Identity {
	t.Helper()
	const secret = "a secret that is longer than 32 bytes"
	path := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(path, []byte(secret), 0o600); err != nil {
		t.Fatal(err)
	}
	authorizer, err := access.New(access.Config{SecretFile: path, Claim: "gotapi"}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	token, err := jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.MapClaims{
		"sub": subject, "exp": time.Now().Add(lives).Unix(), "gotapi": json.RawMessage(grant),
	}).SignedString([]byte(secret))
	if err != nil {
		t.Fatal(err)
	}
	id, err := authorizer.Identify(t.Context(), token)
	if err != nil {
		t.Fatal(err)
	}
	return id
}
