package gateway

import (
	"crypto/sha256"
	"crypto/subtle"
	"net/http"
	"strings"
)

// requireSecret serves requests that carry the admin secret, as parameter
// "secret" or as "Authorization: Bearer", which comes first if both are there.
// Without one: 401; with a wrong one, or when none is configured: 403.
func (h *Handler) requireSecret(next http.Handler) http.HandlerFunc {
	want := sha256.Sum256([]byte(h.opts.AdminSecret))
	return func(w http.ResponseWriter, r *http.Request) {
		if h.opts.AdminSecret == "" {
			WriteError(w, http.StatusForbidden, "the admin endpoints are off: no admin secret is configured")
			return
		}
		if err := parseForm(w, r); err != nil {
			writeFormError(w, err)
			return
		}
		secret, ok := bearer(r)
		if !ok {
			p := params{values: r.Form}
			secret = p.text("secret")
			if p.err != nil {
				WriteError(w, http.StatusBadRequest, "secret: given more than once")
				return
			}
		}
		if secret == "" {
			w.Header().Set("WWW-Authenticate", "Bearer")
			WriteError(w, http.StatusUnauthorized, "the admin secret is missing")
			return
		}
		// Hashes have one length: the time tells nothing about the secret.
		got := sha256.Sum256([]byte(secret))
		if subtle.ConstantTimeCompare(got[:], want[:]) != 1 {
			WriteError(w, http.StatusForbidden, "the admin secret is wrong")
			return
		}
		next.ServeHTTP(w, r)
	}
}

func bearer(r *http.Request) (secret string, ok bool) {
	scheme, secret, found := strings.Cut(r.Header.Get("Authorization"), " ")
	return strings.TrimSpace(secret), found && strings.EqualFold(scheme, "Bearer")
}
