package packet

import (
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

func TestDigitsOfAllScriptsAreKnown(t *testing.T) {
	previous := uint8(9) // the digits of a script follow each other, from 0 on
	for r := rune(utf8.RuneSelf); r <= unicode.MaxRune; r++ {
		if !utf8.ValidRune(r) {
			continue
		}
		text := string(r)
		want := 0
		if unicode.Is(unicode.Nd, r) {
			want = len(text)
		}
		value, size := digit([]byte(text))
		if size != want {
			t.Errorf("%U: got a digit of %d bytes, want %d", r, size, want)
		}
		if size == 0 {
			continue
		}
		if next := (previous + 1) % 10; value != next {
			t.Errorf("%U is %d, want %d", r, value, next)
		}
		previous = value
	}
}

// The digits of mathematics are the last of 50 scripts that follow each other: searched
// one after another, they took 40 times as long as ASCII's.
func BenchmarkDigitsOfScripts(b *testing.B) {
	for name, digit := range map[string]string{"ASCII": "9", "mathematics": "𝟿"} {
		b.Run(name, func(b *testing.B) {
			msg := []byte(`{"type":` + strings.Repeat(digit, (256<<10)/len(digit)))
			b.SetBytes(int64(len(msg)))
			for b.Loop() {
				sink = Classify(msg)
			}
		})
	}
}
