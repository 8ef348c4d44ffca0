package packet

import (
	"math/rand/v2"
	"strings"
	"testing"
)

var (
	small = []byte(`{"type":2,"uuid":"02108001177667145695","body":{"data":"hello world, this is a message","hash":"eb2ef7838a7a57d","sent":false}}`)
	large = []byte(`{"type":2,"uuid":"02108001177667145695","body":{"data":"` + strings.Repeat("hello, 世界. ", 2180) + `"}}`)
)

// noise is n bytes of no meaning.
func noise(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{}).Read(b) // never fails
	return b
}

var sink Packet

func BenchmarkClassify(b *testing.B) {
	for _, bb := range []struct {
		name string
		msg  []byte
	}{
		{"data 128 B", small},
		{"data 32 KiB", large},
		{"ping", []byte(`{"type":1,"command":5,"uuid":"a"}`)},
		{"low text", []byte("hello world, this is a chat message that no one stores")},
		{"binary 16 KiB", noise(16 << 10)},
		{"lookalike 32 KiB", []byte("{" + strings.Repeat(`"type":2,`, 3600))},
		{"digits of mathematics 32 KiB", []byte(`{"type":` + strings.Repeat("𝟿", 8<<10))},
	} {
		b.Run(bb.name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(bb.msg)))
			for b.Loop() {
				sink = Classify(bb.msg)
			}
		})
	}
}

func BenchmarkAppendAck(b *testing.B) {
	b.ReportAllocs()
	var dst []byte
	for b.Loop() {
		dst = AppendAck(dst[:0], "02108001177667145695")
	}
}

func BenchmarkAppendStringOfAPacket(b *testing.B) {
	text := `{"type":2,"uuid":"00000000000000000042","body":{"data":"` + strings.Repeat("hello ", 6) + `","hash":"eb2ef7838a7a57d","sent":false}}`
	buf := make([]byte, 0, 1024)
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		buf = AppendString(buf[:0], text)
	}
}
