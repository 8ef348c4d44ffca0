package header

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strconv"
	"testing"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/gotapi/gotapi-ws/wire/group"
	"github.com/gotapi/gotapi-ws/wire/stream"
)

// referenceValues reads a header with encoding/json: the values by key, without null. It
// returns nil if the header cannot be read.
func referenceValues(header []byte) map[string]json.RawMessage {
	if len(header) > MaxSize || !utf8.Valid(header) || !json.Valid(header) {
		return nil
	}
	d := json.NewDecoder(bytes.NewReader(header))
	if open, err := d.Token(); err != nil || open != json.Delim('{') {
		return nil
	}
	seen, values := make(map[string]bool), make(map[string]json.RawMessage)
	for d.More() {
		token, err := d.Token()
		if err != nil {
			return nil
		}
		name, _ := token.(string)
		var value json.RawMessage
		if err := d.Decode(&value); err != nil || seen[name] {
			return nil
		}
		seen[name] = true
		if string(value) != "null" {
			values[name] = value
		}
	}
	return values
}

// hasHalf reports whether a JSON string has half a surrogate pair, which encoding/json
// replaces.
func hasHalf(raw string) bool {
	var units []uint16
	for i := 0; i < len(raw); i++ {
		unit := uint64(0)
		if raw[i] == '\\' {
			i++
			if raw[i] == 'u' {
				unit, _ = strconv.ParseUint(raw[i+1:i+5], 16, 16)
				i += 4
			}
		}
		units = append(units, uint16(unit))
	}
	for i := 0; i < len(units); i++ {
		if utf16.IsSurrogate(rune(units[i])) {
			if i+1 == len(units) || utf16.DecodeRune(rune(units[i]), rune(units[i+1])) == utf8.RuneError {
				return true
			}
			i++
		}
	}
	return false
}

// reference is the slow reading of the contract. It returns the id even with an error.
func reference(message []byte) (r Request, err error) {
	at := bytes.IndexByte(message, '\n')
	header := message
	if at >= 0 {
		header = message[:at]
	}
	values := referenceValues(header)
	if values == nil {
		return r, io.ErrUnexpectedEOF
	}
	integer := func(key string, least, most uint64) (i Integer) {
		if raw, ok := values[key]; ok {
			n, bad := strconv.ParseUint(string(raw), 10, 64)
			if bad != nil || n < least || n > most {
				err = errors.Join(err, errors.New(key))
				return i
			}
			i = Integer{n, true}
		}
		return i
	}
	text := func(key string) (s string) {
		if raw, ok := values[key]; ok {
			bad := json.Unmarshal(raw, &s)
			if bad != nil || s == "" || hasHalf(string(raw)) {
				err = errors.Join(err, errors.New(key))
			}
		}
		return s
	}
	if r.ID = integer("id", 0, 1<<53-1); err != nil {
		return r, err
	}
	do := text("do")
	for d, name := range doNames {
		if name == do && Do(d) != Unknown {
			r.Do = Do(d)
		}
	}
	if r.Do == Unknown {
		return r, errUnknownDo
	}
	if r.Do != Token && r.Do != Ping {
		name, bad := group.Parse(text("group"))
		err = errors.Join(err, bad)
		r.Group = name
	}
	needs := func(ok bool) {
		if !ok {
			err = errors.Join(err, errors.New("incomplete"))
		}
	}
	switch r.Do {
	case Join:
		r.From, r.Last = text("from"), integer("last", 0, 1000)
	case Publish:
		needs(at >= 0)
		r.Packet = message[at+1:]
	case Recall:
		r.UUID = text("uuid")
		needs(r.UUID != "")
	case History:
		r.Before, r.After, r.Size = integer("before", 0, 1<<53-1), integer("after", 0, 1<<53-1), 50
		if size := integer("size", 1, 1000); size.Set {
			r.Size = int(size.Value)
		}
		needs(!r.Before.Set || !r.After.Set)
	case Token:
		r.Token = text("token")
		needs(r.Token != "")
	default:
	}
	return r, err
}

// FuzzParseRequest holds ParseRequest against encoding/json.
func FuzzParseRequest(f *testing.F) {
	for _, v := range readVectors(f).Requests {
		f.Add(v.message(f))
	}
	f.Add([]byte(`{"do":"join","group":"/\ufffd\\ufffd` + "\ufffd" + `","x":"\u0000\ud800"}`))
	f.Fuzz(func(t *testing.T, message []byte) {
		before := bytes.Clone(message)
		got, err := ParseRequest(message)
		if !bytes.Equal(before, message) {
			t.Fatalf("ParseRequest changed %q to %q", before, message)
		}
		want, wantErr := reference(message)
		if (err == nil) != (wantErr == nil) {
			t.Fatalf("ParseRequest(%q): error %v, want %v", message, err, wantErr)
		}
		if err != nil {
			if got.ID != want.ID {
				t.Errorf("ParseRequest(%q): id %+v, want %+v", message, got.ID, want.ID)
			}
			if !utf8.ValidString(err.Error()) || len(err.Error()) > 100 {
				t.Errorf("ParseRequest(%q): the error is no text for a client: %q", message, err)
			}
			return
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("ParseRequest(%q): -want +got\n%s", message, diff)
		}
	})
}

// FuzzAppend holds what the server writes against encoding/json.
func FuzzAppend(f *testing.F) {
	f.Add("/room/1", "alice", "a", "why", []byte("{}"), uint64(1), int64(2), false)
	f.Add("/\xff\"\\\u2028", "\x00\x7f", "\ud7ff", "\n", []byte("\n\xff"), uint64(1<<63), int64(-1), true)
	f.Fuzz(func(t *testing.T, g, name, uuid, msg string, payload []byte, n uint64, at int64, key bool) {
		type object = map[string]any
		clean := func(s string) string { return string([]rune(s)) }
		number := func(n uint64) json.Number { return json.Number(strconv.FormatUint(n, 10)) }
		e := &stream.Event{Seq: n, Target: n, At: at, By: stream.Author{Name: name, Key: key}, UUID: uuid, Payload: payload}
		pos := stream.Position{Epoch: stream.Epoch(n), Seq: n, Changes: n, Link: stream.Link(n)}
		group := group.Name(g)
		author, when, place := object{}, object{}, object{"pos": pos.Text(group)}
		switch {
		case name != "" && key:
			author["key"] = clean(name)
		case name != "":
			author["by"] = clean(name)
		}
		if at != 0 {
			when["at"] = json.Number(strconv.FormatInt(at, 10))
		}
		with := func(all ...object) object {
			sum := object{}
			for _, o := range all {
				for k, v := range o {
					sum[k] = v
				}
			}
			return sum
		}
		on := func(what string) object { return object{"on": what, "group": clean(g)} }
		re := object{"re": number(n), "code": json.Number("200")}
		for _, w := range []struct {
			got     []byte
			want    object
			carries bool
		}{
			{AppendMessage(nil, group, e, pos), with(on("message"), object{"seq": number(n)}, author, when, place), true},
			{AppendPacket(nil, group, e), with(on("packet"), author), true},
			{AppendRecalled(nil, group, e, pos), with(on("recalled"), object{"seq": number(n), "uuid": clean(uuid)}, author, when, place), false},
			{AppendLive(nil, group, pos), with(on("live"), place), false},
			{AppendGap(nil, group, pos), with(on("gap"), place), false},
			{AppendLeft(nil, group, Refusal{Code: 403, Msg: msg}), with(on("left"), object{"code": json.Number("403"), "msg": clean(msg)}), false},
			{AppendError(nil, 400, msg), object{"on": "error", "code": json.Number("400"), "msg": clean(msg)}, false},
			{AppendJoined(nil, n, group, pos, key), with(re, place, gapIf(key)), false},
			{AppendStored(nil, n, group, &Stored{Seq: n, At: at, Pos: &pos}), with(re, object{"seq": number(n)}, when, place), false},
			{AppendRefusal(nil, n, Refusal{Code: 200, Msg: msg}), with(re, object{"msg": clean(msg)}), false},
			{
				AppendHistory(nil, n, group, []Message{{Seq: n, At: at, By: e.By, Pos: &pos, Packet: string(payload)}}, key),
				with(re, object{"more": key, "messages": []any{with(object{"seq": number(n), "packet": clean(string(payload))}, author, when, place)}}), false,
			},
		} {
			header, packet, carries := Split(w.got)
			if carries != w.carries || carries && !bytes.Equal(packet, payload) {
				t.Errorf("%q carries %q, %t, want %q, %t", w.got, packet, carries, payload, w.carries)
			}
			d := json.NewDecoder(bytes.NewReader(header))
			d.UseNumber()
			var got object
			if err := d.Decode(&got); err != nil || !utf8.Valid(header) {
				t.Fatalf("%v in %q", err, header)
			}
			if diff := cmp.Diff(w.want, got); diff != "" {
				t.Errorf("%q: -want +got\n%s", header, diff)
			}
		}
	})
}

func gapIf(gap bool) map[string]any {
	if gap {
		return map[string]any{"gap": true}
	}
	return nil
}
