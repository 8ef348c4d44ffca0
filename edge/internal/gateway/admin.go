package gateway

import (
	"net/http"

	"github.com/gotapi/gotapi-ws/access"
	"github.com/gotapi/gotapi-ws/edge/internal/caller"
	"github.com/gotapi/gotapi-ws/edge/internal/httpjson"
)

// requireAdmin serves requests that carry the admin secret, as parameter "secret" or as
// "Authorization: Bearer", which comes first if both are there, and those of
// callers who may administer. Without a secret: 401; with a wrong one, or when none
// is configured: 403.
func (h *Handler) requireAdmin(next http.Handler) http.HandlerFunc {
	bySecret := h.requireSecret(next)
	return func(w http.ResponseWriter, r *http.Request) {
		id, err := h.backends.Callers.Identify(r, false)
		if err == nil {
			err = id.MayAdminister()
		}
		switch {
		case err == nil:
			next.ServeHTTP(w, r.WithContext(access.NewContext(r.Context(), id)))
		case h.backends.Callers.Checked() && len(h.reloadable.Load().AdminSecrets) == 0:
			writeDenied(w, err)
		default:
			bySecret(w, r)
		}
	}
}

func (h *Handler) requireSecret(next http.Handler) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		opts := h.reloadable.Load()
		if len(opts.AdminSecrets) == 0 {
			httpjson.WriteError(w, http.StatusForbidden, "the admin endpoints are off: no admin secret is configured")
			return
		}
		if err := parseForm(w, r); err != nil {
			writeFormError(w, err)
			return
		}
		secret, ok := caller.Bearer(r)
		if !ok {
			p := params{values: r.Form}
			secret = p.text("secret")
			if p.err != nil {
				httpjson.WriteError(w, http.StatusBadRequest, "secret: given more than once")
				return
			}
		}
		if secret == "" {
			httpjson.WriteError(w, http.StatusUnauthorized, "the admin secret is missing")
			return
		}
		if !opts.isSecret(secret) {
			httpjson.WriteError(w, http.StatusForbidden, "the admin secret is wrong")
			return
		}
		next.ServeHTTP(w, r.WithContext(access.NewContext(r.Context(), access.System())))
	}
}
