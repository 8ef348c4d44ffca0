package packet

import (
	"bytes"
	"encoding/json"
	"math"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode/utf16"
	"unicode/utf8"
)

func seed(f *testing.F) {
	f.Helper()
	for _, v := range vectors(f) {
		if msg := v.message(f); len(msg) < 1000 {
			f.Add(msg)
		}
	}
}

// FuzzClassify holds Classify against the slow reading of the contract.
func FuzzClassify(f *testing.F) {
	seed(f)
	f.Fuzz(func(t *testing.T, msg []byte) {
		before := bytes.Clone(msg)
		got := Classify(msg)
		if !bytes.Equal(before, msg) {
			t.Fatalf("Classify changed %q to %q", before, msg)
		}
		want, ok := referenceClassify(msg)
		if ok && got != want {
			t.Errorf("Classify(%q)\n got %+v\nwant %+v", msg, got, want)
		}
		if !ok && got != (Packet{Kind: Low}) && got != (Packet{Kind: Dropped}) {
			t.Errorf("Classify(%q) = %+v, though it is not a valid document", msg, got)
		}
	})
}

// FuzzLowLevelIsNeverReadAsCommand: whatever is relayed as it is, is nobody's
// command. (A Receipt is one, and is meant to be.)
func FuzzLowLevelIsNeverReadAsCommand(f *testing.F) {
	seed(f)
	f.Fuzz(func(t *testing.T, msg []byte) {
		p := Classify(msg)
		if p.Kind != Low && p.Kind != Data && p.Kind != BadUUID {
			return
		}
		for name, read := range readers {
			if read(msg) {
				t.Errorf("Classify(%q) = %s, but %s reads type 1", msg, kindNames[p.Kind], name)
			}
		}
	})
}

// FuzzSpoiledCommandIsDropped: what is a command, or is too much like one to be
// relayed, is not relayed either when a byte makes it invalid: the readers that
// replace such bytes, or ignore them, still find the command.
func FuzzSpoiledCommandIsDropped(f *testing.F) {
	seed(f)
	f.Fuzz(func(t *testing.T, msg []byte) {
		doc, ok := referenceClassify(msg)
		end := bytes.LastIndexByte(msg, '}')
		if !ok || end < 0 || doc.Kind == Low || doc.Kind == Data || doc.Kind == BadUUID {
			return
		}
		for _, spoilt := range [][]byte{
			slices.Concat(msg[:end], []byte(",\"\x89\":0}")),
			slices.Concat(msg[:end], []byte("\x89}")),
			slices.Concat(msg, []byte("\xff")),
			slices.Concat([]byte("\xff"), msg),
		} {
			if got := Classify(spoilt); got != (Packet{Kind: Dropped}) {
				t.Errorf("Classify(%q) = %s, though without invalid bytes it is %s", spoilt, kindNames[got.Kind], kindNames[doc.Kind])
			}
		}
	})
}

// FuzzLookalikesAreFew: what is dropped without being a valid document at least
// has an object in it and does not begin as prose.
func FuzzLookalikesAreFew(f *testing.F) {
	seed(f)
	f.Fuzz(func(t *testing.T, msg []byte) {
		if _, ok := referenceClassify(msg); ok || Classify(msg).Kind != Dropped {
			return
		}
		if c := msg[0]; 'a' <= c && c <= 'z' && !strings.ContainsRune("tfn", rune(c)) || 'A' <= c && c <= 'Z' {
			t.Errorf("Classify(%q) = dropped, but it begins as no document", msg)
		}
		if !bytes.Contains(msg, []byte("{")) {
			t.Errorf("Classify(%q) = dropped, but it has no object", msg)
		}
	})
}

// readers are models of what receives a packet: each reports whether it would
// take msg for an object whose type is the number 1.
var readers = map[string]func(msg []byte) bool{
	"JSON.parse":              func(msg []byte) bool { return jsonParse(decodeUTF8(msg)) },
	"JSON.parse after a trim": func(msg []byte) bool { return jsonParse(strings.TrimSpace(decodeUTF8(msg))) },
	"JSON.parse up to a NUL": func(msg []byte) bool {
		before, _, _ := strings.Cut(decodeUTF8(msg), "\x00")
		return jsonParse(before)
	},
	"JSON.parse without invalid bytes": func(msg []byte) bool { return jsonParse(strings.ToValidUTF8(string(msg), "")) },
	"JSON.parse of each line":          func(msg []byte) bool { return strings.HasPrefix(string(msg), "{") && anyLine(msg) },
	"first of duplicates":              firstDuplicate,
	"encoding/json, document by document": func(msg []byte) bool {
		d := json.NewDecoder(bytes.NewReader(msg))
		for {
			var v any
			if d.Decode(&v) != nil {
				return false
			}
			if m, ok := v.(map[string]any); ok && m["type"] == 1.0 {
				return true
			}
		}
	},
	"encoding/json into a struct with an int": func(msg []byte) bool {
		var v map[string]json.RawMessage
		if json.Unmarshal(msg, &v) != nil {
			return false
		}
		x, err := strconv.ParseFloat(string(v["type"]), 64)
		return err == nil && (math.Trunc(x) == 1 || math.Round(x) == 1 || float32(x) == 1)
	},
	"Python, ==": func(msg []byte) bool {
		doc, ok := readJSON(string(msg), false)
		t, there := lastOf(doc, "type")
		return ok && there && utf8.Valid(msg) && (t.kind == 't' || doubleOf(t) == 1)
	},
	"JSON.parse, ==":        func(msg []byte) bool { return jsValue(msg, func(x float64) bool { return x == 1 }) },
	"JSON.parse, | 0":       func(msg []byte) bool { return jsValue(msg, func(x float64) bool { return int32Of(x) == 1 }) },
	"cJSON":                 cJSON,
	"Gson, getAsInt":        func(msg []byte) bool { return javaReads(msg, gsonInt) },
	"org.json, getInt":      func(msg []byte) bool { return javaReads(msg, androidInt) },
	"a cast to 8 bits":      func(msg []byte) bool { return integerModulo(msg, 8) },
	"a cast to 16 bits":     func(msg []byte) bool { return integerModulo(msg, 16) },
	"a cast to 32 bits":     func(msg []byte) bool { return integerModulo(msg, 32) },
	"a cast to 64 bits":     func(msg []byte) bool { return integerModulo(msg, 64) },
	"UTF-16, little-endian": func(msg []byte) bool { return utf16Text(msg, 0, 1) },
	"UTF-16, big-endian":    func(msg []byte) bool { return utf16Text(msg, 1, 0) },
}

// decodeUTF8 is TextDecoder: U+FFFD for what is invalid, no mark in front.
func decodeUTF8(msg []byte) string {
	return strings.TrimPrefix(strings.ToValidUTF8(string(msg), "\ufffd"), "\ufeff")
}

// jsonParse is JSON.parse(text).type === 1: the last duplicate wins, and
// numbers are doubles.
func jsonParse(text string) bool {
	doc, ok := readJSON(text, false)
	return ok && lastType(doc) == 1
}

func lastType(doc node) float64 {
	for i, name := range slices.Backward(doc.names) {
		if string(utf16.Decode(name)) == "type" {
			x, _ := strconv.ParseFloat(doc.values[i].number, 64)
			return x
		}
	}
	return 0
}

func firstDuplicate(msg []byte) bool {
	doc, ok := readJSON(decodeUTF8(msg), true)
	if !ok {
		return false
	}
	types, _ := doc.all("type")
	if len(types) == 0 {
		return false
	}
	x, err := strconv.ParseFloat(types[0].number, 64)
	return err == nil && x == 1
}

func anyLine(msg []byte) bool {
	for line := range strings.Lines(decodeUTF8(msg)) {
		if jsonParse(line) {
			return true
		}
	}
	return false
}

func utf16Text(msg []byte, low, high int) bool {
	var units []uint16
	for i := 0; i+1 < len(msg); i += 2 {
		units = append(units, uint16(msg[i+low])|uint16(msg[i+high])<<8)
	}
	return jsonParse(strings.TrimPrefix(string(utf16.Decode(units)), "\ufeff"))
}

// FuzzWriters: what the server writes is valid JSON that says what it should.
func FuzzWriters(f *testing.F) {
	f.Add("02108001177667145695", 400, "why", "text")
	f.Add("\x00\x1f\"\\\u2028\xff\x7f", -1, "\ud7ff", `{"a":"b\n"}`)
	f.Fuzz(func(t *testing.T, uuid string, n int, msg, text string) {
		type object = map[string]any
		clean := func(s string) string { return strings.ToValidUTF8(replaceEach(s), "\ufffd") }
		u, number := clean(uuid), json.Number(strconv.Itoa(n))
		for _, w := range []struct {
			name string
			got  []byte
			want object
		}{
			{"ack", AppendAck(nil, uuid), object{"type": json.Number("1"), "command": json.Number("1"), "uuid": u}},
			{"pong", AppendPong(nil, uuid), object{"type": json.Number("1"), "command": json.Number("5"), "uuid": u}},
			{"recall", AppendRecall(nil, uuid), object{"type": json.Number("1"), "command": json.Number("6"), "uuid": u}},
			{"error", AppendError(nil, uuid, n, msg), object{"type": json.Number("1"), "command": json.Number("7"), "uuid": u, "body": object{"data": object{"code": number, "msg": clean(msg)}}}},
			{"history", AppendHistory(nil, uuid, n, []string{text, msg}, nil), object{"type": json.Number("1"), "command": json.Number("2"), "uuid": u, "body": object{"data": object{"position": number, "data": []any{clean(text), clean(msg)}}}}},
		} {
			if !utf8.Valid(w.got) {
				t.Errorf("%s is not UTF-8: %q", w.name, w.got)
			}
			d := json.NewDecoder(bytes.NewReader(w.got))
			d.UseNumber()
			var got object
			if err := d.Decode(&got); err != nil {
				t.Fatalf("%s: %v in %q", w.name, err, w.got)
			}
			g, _ := json.Marshal(got)
			want, _ := json.Marshal(w.want)
			if !bytes.Equal(g, want) {
				t.Errorf("%s: %q\n got %s\nwant %s", w.name, w.got, g, want)
			}
		}
		if got, ok := ParseTombstone(string(Tombstone(uuid))); !ok || got != u {
			t.Errorf("ParseTombstone(Tombstone(%q)) = %q, %v, want %q", uuid, got, ok, u)
		}
		if p := Classify(Tombstone(uuid)); p.Kind != Dropped {
			t.Errorf("a client can send Tombstone(%q): %+v", uuid, p)
		}
	})
}

// replaceEach replaces each invalid byte, where strings.ToValidUTF8 replaces a run.
func replaceEach(s string) string { return string([]rune(s)) }

func FuzzParseTombstone(f *testing.F) {
	seed(f)
	f.Add([]byte(`{"type":1,"command":6,"uuid":"a\"b"}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		if uuid, ok := ParseTombstone(string(text)); ok && !bytes.Equal(Tombstone(uuid), text) {
			t.Errorf("ParseTombstone(%q) = %q, whose tombstone is %q", text, uuid, Tombstone(uuid))
		}
	})
}
