package ws

import (
	"bytes"
	"fmt"
	"testing"
)

func TestFramesHaveTheBytesOfTheStandard(t *testing.T) {
	for _, tt := range []struct {
		frame Frame
		want  []byte
	}{
		{Text(nil), []byte{0x81, 0}},
		{Text([]byte("Hello")), []byte("\x81\x05Hello")}, // RFC 6455, section 5.7
		{Binary([]byte{7}), []byte{0x82, 1, 7}},
		{Ping(), []byte{0x89, 0}},
		{pong("Hello"), []byte("\x8a\x05Hello")}, // the same
		{closeFrame(1000, ""), []byte{0x88, 2, 0x03, 0xe8}},
		{closeFrame(1013, "slow"), []byte("\x88\x06\x03\xf5slow")},
		{closeFrame(codeNone, "ignored"), []byte{0x88, 0}},
	} {
		if !bytes.Equal(tt.frame.raw, tt.want) {
			t.Errorf("got % x, want % x", tt.frame.raw, tt.want)
		}
	}
}

func TestFramesCarryPayloadsOfAnySize(t *testing.T) {
	headers := map[int][]byte{
		0:       {0x82, 0},
		125:     {0x82, 125},
		126:     {0x82, 126, 0, 126},
		65535:   {0x82, 126, 0xff, 0xff},
		65536:   {0x82, 127, 0, 0, 0, 0, 0, 1, 0, 0},
		1 << 20: {0x82, 127, 0, 0, 0, 0, 0, 0x10, 0, 0},
	}
	for size, header := range headers {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			payload := bytes.Repeat([]byte{'x'}, size)
			f := Binary(payload)
			if !bytes.HasPrefix(f.raw, header) {
				t.Errorf("header % x, want % x", f.raw[:len(header)], header)
			}
			if f.Size() != len(header)+size || !bytes.Equal(f.Payload(), payload) || f.Opcode() != OpBinary {
				t.Errorf("size %d, opcode %d, payload of %d bytes", f.Size(), f.Opcode(), len(f.Payload()))
			}
		})
	}
}

func TestLongCloseReasonIsCut(t *testing.T) {
	if n := len(closeFrame(1002, string(make([]byte, 300))).Payload()); n != maxControl {
		t.Errorf("payload of %d bytes, want %d", n, maxControl)
	}
}
