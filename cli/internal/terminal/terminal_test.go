package terminal_test

import (
	"bytes"
	"testing"

	"github.com/gotapi/gotapi-ws/cli/internal/terminal"
)

func TestTextsOfStrangersCannotMoveTheCursor(t *testing.T) {
	for text, want := range map[string]string{
		"hello, 世界":                  "hello, 世界",
		"\x1b[2J\x1b]0;owned\x07":    `\u001b[2J\u001b]0;owned\u0007`,
		"two\nlines\tand a tab\r":    `two\nlines\tand a tab\u000d`,
		"\u202etxt.exe\u2066 \u0085": `\u202etxt.exe\u2066 \u0085`,
	} {
		if got := terminal.Printable(text); got != want {
			t.Errorf("Printable(%q) = %q, want %q", text, got, want)
		}
	}
}

func TestNoColoursAndNoProgressWhereThereIsNoTerminal(t *testing.T) {
	var out bytes.Buffer
	if terminal.Colours(&out, func(string) (string, bool) { return "", false }) {
		t.Error("a buffer has colours")
	}
	p := terminal.NewProgress(&out)
	p.Show(func() string { return "12 of 20" })
	p.Clear()
	if out.Len() > 0 {
		t.Errorf("progress was written: %q", out.String())
	}
	if got := terminal.Palette(false).Paint(terminal.Red, "x"); got != "x" {
		t.Errorf("painted %q", got)
	}
}
