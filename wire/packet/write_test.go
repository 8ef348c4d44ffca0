package packet

import (
	"strings"
	"testing"
)

func TestWritersMakeTheBytesOfTheContract(t *testing.T) {
	for _, tt := range []struct{ got, want string }{
		{string(AppendAck(nil, "02108001177667145695")), `{"type":1,"command":1,"uuid":"02108001177667145695"}`},
		{string(AppendAck([]byte("x"), "")), `x{"type":1,"command":1,"uuid":""}`},
		{string(AppendPong(nil, "p")), `{"type":1,"command":5,"uuid":"p"}`},
		{string(AppendRecall(nil, "a\"\\/\n\x01é\u2028")), `{"type":1,"command":6,"uuid":"a\"\\/\n\u0001é` + "\u2028" + `"}`},
		{string(AppendError(nil, "u", 400, "why")), `{"type":1,"command":7,"uuid":"u","body":{"data":{"code":400,"msg":"why"}}}`},
		{string(AppendTooMuch(nil, "u", "why", 1500)), `{"type":1,"command":7,"uuid":"u","body":{"data":{"code":429,"msg":"why","retryAfter":1500}}}`},
		{string(AppendHistory(nil, "q", -50, []string{`{"type":2}`, "b\xff"}, nil)), `{"type":1,"command":2,"uuid":"q","body":{"data":{"position":-50,"data":["{\"type\":2}","b` + "\ufffd" + `"]}}}`},
		{string(AppendHistory(nil, "q", -50, []string{"a"}, new(int32(-20)))), `{"type":1,"command":2,"uuid":"q","body":{"data":{"position":-50,"data":["a"],"next":-20}}}`},
		{string(AppendHistory(nil, "q", 0, nil, nil)), `{"type":1,"command":2,"uuid":"q","body":{"data":{"position":0,"data":[]}}}`},
	} {
		if tt.got != tt.want {
			t.Errorf("got  %s\nwant %s", tt.got, tt.want)
		}
	}
}

func TestOnlyItsOwnBytesAreATombstone(t *testing.T) {
	for text, want := range map[string]string{
		`{"type":1,"command":6,"uuid":"a"}`:          "a",
		`{"type":1,"command":6,"uuid":""}`:           "",
		`{"type":1,"command":6,"uuid":"a\n\u0001😀"}`: "a\n\x01😀",
	} {
		if got, ok := ParseTombstone(text); !ok || got != want {
			t.Errorf("ParseTombstone(%s) = %q, %v, want %q", text, got, ok, want)
		}
	}
	for _, text := range []string{
		"", "hello", `{"type":1,"command":6,"uuid":"a"`, `{"type":1,"command":6,"uuid":"a"} `, `{"type":1,"command":6,"uuid":"\u0061"}`,
		`{"type":1, "command":6,"uuid":"a"}`, `{"type":1,"command":6,"uuid":"a","x":1}`, `{"type":1,"command":6,"uuid":7}`,
		`{"type":2,"uuid":"a"}`, `{"type":1,"command":1,"uuid":"a"}`, "{\"type\":1,\"command\":6,\"uuid\":\"\xff\"}",
	} {
		if got, ok := ParseTombstone(text); ok {
			t.Errorf("ParseTombstone(%s) = %q", text, got)
		}
	}
}

func TestClassifyIsLinear(t *testing.T) {
	// Each of these would be read again from every byte by a careless scan.
	// The test is that it ends: quadratic, a case takes minutes.
	const n = 1 << 18
	for _, s := range []string{`\`, "\x00", "type", "type ", `"type"`, "t\\", "t\xff", `\u0`, `{"a":`, "[", "1 ", "[] ", "/*", "#\n", `"type":`, `"type":0`, "typ", "type\\\x01"} {
		for _, head := range []string{"{", "", " ", "\xff{", "{\x00"} {
			if p := Classify([]byte(head + strings.Repeat(s, n/len(s)))); p.Kind != Low {
				t.Errorf("%q and many of %q: %s", head, s, kindNames[p.Kind])
			}
		}
	}
}

func TestClassifyCopiesNothingButTheUUID(t *testing.T) {
	for msg, want := range map[string]float64{
		string(small): 1, string(large): 1, "hello": 0, `{"a":[[[1]]]}`: 0,
		`{"type":1,"command":5}`: 0, `{"type":1,"command":2,"pullargs":{"offset":0,"size":50}}`: 0, `{"type":2,`: 0,
	} {
		b := []byte(msg)
		if got := testing.AllocsPerRun(100, func() { sink = Classify(b) }); got > want {
			t.Errorf("Classify(%.80q): %v allocations, want at most %v", msg, got, want)
		}
	}
}

func TestWritersAllocateNothingWhereThereIsRoom(t *testing.T) {
	const uuid = `02108001177667145695 "quoted"`
	buf := make([]byte, 0, 512)
	for name, write := range map[string]func(){
		"AppendAck":     func() { buf = AppendAck(buf[:0], uuid) },
		"AppendPong":    func() { buf = AppendPong(buf[:0], uuid) },
		"AppendRecall":  func() { buf = AppendRecall(buf[:0], uuid) },
		"AppendError":   func() { buf = AppendError(buf[:0], uuid, 503, "not stored") },
		"AppendTooMuch": func() { buf = AppendTooMuch(buf[:0], uuid, "too many messages", 1000) },
	} {
		if got := testing.AllocsPerRun(100, write); got != 0 {
			t.Errorf("%s: %v allocations", name, got)
		}
	}
}
