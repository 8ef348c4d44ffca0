package gateway

import (
	"net/http"

	"github.com/gotapi/gotapi-ws/access"
	"github.com/gotapi/gotapi-ws/edge/internal/caller"
	"github.com/gotapi/gotapi-ws/edge/internal/httpjson"
)

// requireAdmin serves requests of callers that may administer, and requests with the admin
// secret: in "Authorization: Bearer" or, without that header, in the parameter "secret".
// It answers 401 without a secret, and 403 to a wrong one, to a credential without the
// right, or if no secret is configured.
func (h *Handler) requireAdmin(next http.Handler) http.HandlerFunc {
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
		case id != nil && id.Known():
			h.requireSecret(next, err)(w, r)
		default:
			h.requireSecret(next, nil)(w, r)
		}
	}
}

// requireSecret serves requests with the admin secret. denied is why a valid credential
// does not do instead; nil: there is none.
func (h *Handler) requireSecret(next http.Handler, denied error) http.HandlerFunc {
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
		switch {
		case secret != "" && opts.isSecret(secret):
			next.ServeHTTP(w, r.WithContext(access.NewContext(r.Context(), access.System())))
		case denied != nil:
			writeDenied(w, denied)
		case secret == "":
			httpjson.WriteError(w, http.StatusUnauthorized, "the admin secret is missing")
		default:
			httpjson.WriteError(w, http.StatusForbidden, "the admin secret is wrong")
		}
	}
}
