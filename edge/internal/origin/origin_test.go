package origin_test

import (
	"crypto/tls"
	"net/http"
	"testing"

	"github.com/gotapi/gotapi-ws/edge/internal/origin"
)

func TestOwnPagesAreKnownByHostAndPort(t *testing.T) {
	const plain, secure = false, true
	for _, tt := range []struct {
		origin, host string
		overTLS      bool
		want         bool
	}{
		{"https://chat.test", "chat.test", plain, true}, // behind a proxy that ends TLS
		{"http://chat.test", "chat.test", plain, true},
		{"https://Chat.test", "chat.TEST", secure, true},
		{"https://chat.test", "chat.test:443", plain, true},
		{"https://chat.test", "chat.test:443", secure, true},
		{"https://chat.test:443", "chat.test", secure, true},
		{"http://chat.test", "chat.test:80", plain, true},
		{"https://chat.test:8443", "chat.test:8443", secure, true},
		{"https://[::1]", "[::1]:443", secure, true},
		{"https://[::443]", "[::443]", secure, true},

		{"http://chat.test", "chat.test", secure, false},
		{"http://chat.test", "chat.test:443", secure, false},
		{"http://chat.test:443", "chat.test:443", secure, false},
		{"http://chat.test", "chat.test:443", plain, false},
		{"https://chat.test", "chat.test:80", plain, false},
		{"https://chat.test:8443", "chat.test", secure, false},
		{"https://chat.test", "chat.test:8443", secure, false},
		{"https://evil.test", "chat.test", plain, false},
		{"https://chat.test.evil", "chat.test", plain, false},
		{"https://evil-chat.test", "chat.test", plain, false},
		{"chrome-extension://chat.test", "chat.test", plain, false},
		{"null", "chat.test", plain, false},
		{"null", "null", plain, false},
		{"", "", plain, false},
	} {
		r := &http.Request{Host: tt.host}
		if tt.overTLS {
			r.TLS = &tls.ConnectionState{}
		}
		if got := origin.IsOwn(tt.origin, r); got != tt.want {
			t.Errorf("a page of %q asks for %q, with TLS %v: own %v, want %v", tt.origin, tt.host, tt.overTLS, got, tt.want)
		}
	}
}

func TestPatternsNameAnOwnerOrMatchStrangers(t *testing.T) {
	for pattern, want := range map[string]bool{
		"https://app.example.com":      true,
		"https://app.example.com:8443": true,
		"https://*.example.com":        true,
		"https://*.example.com:8443":   true,
		"https://app-*.example.com":    true,
		"https://*.example.co.uk":      true,
		"https://*.team.github.io":     true,
		"http://localhost:*":           true,
		"https://[::1]:*":              true,
		"*://app.example.com":          true,

		"*":                     false,
		"https://*":             false,
		"https://*:443":         false,
		"http*://*":             false,
		"https://*.com":         false,
		"https://*.COM":         false,
		"https://*.co.uk":       false,
		"https://*.github.io":   false,
		"https://*example.com":  false,
		"https://app.example.*": false,
		"https://app.example*":  false,
		"http://localhost*":     false,
		"https://*app.com":      false,
	} {
		if got := origin.NamesOwner(pattern); got != want {
			t.Errorf("%s: %v, want %v", pattern, got, want)
		}
	}
}
