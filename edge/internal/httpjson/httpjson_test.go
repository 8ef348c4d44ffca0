package httpjson

import (
	"net/http/httptest"
	"testing"
)

func TestStringsHaveNoLineEndsOfJavaScript(t *testing.T) {
	for s, want := range map[string]string{
		"":                    `""`,
		`a"b`:                 `"a\"b"`,
		"a\u2028b\u2029“é”\n": `"a\u2028b\u2029“é”\n"`,
		"“no line ends”":      `"“no line ends”"`,
	} {
		if got := string(AppendString([]byte("x"), s)); got != "x"+want {
			t.Errorf("%q: got %s, want x%s", s, got, want)
		}
	}
}

func TestErrorsSayWhenToComeAgain(t *testing.T) {
	for code, want := range map[int]string{400: "", 429: "1", 503: "1"} {
		w := httptest.NewRecorder()
		WriteError(w, code, "why")
		if got := w.Header().Get("Retry-After"); got != want || w.Code != code {
			t.Errorf("%d: got %d with Retry-After %q, want %q", code, w.Code, got, want)
		}
	}
	w := httptest.NewRecorder()
	w.Header().Set("Retry-After", "7")
	WriteError(w, 503, `say "when"`)
	if got := w.Header().Get("Retry-After"); got != "7" {
		t.Errorf("Retry-After was set to 7, and became %s", got)
	}
	if want := `{"code":503,"msg":"say \"when\""}`; w.Body.String() != want {
		t.Errorf("got %s, want %s", w.Body, want)
	}
}
