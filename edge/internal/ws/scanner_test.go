package ws

import (
	"bytes"
	"errors"
	"testing"
)

// clientFrame is a frame as a client sends it.
func clientFrame(first byte, payload int) []byte {
	b := []byte{first}
	switch {
	case payload < 126:
		b = append(b, 0x80|byte(payload))
	case payload < 1<<16:
		b = append(b, 0x80|126, byte(payload>>8), byte(payload))
	default:
		b = append(b, 0x80|127, 0, 0, 0, 0, byte(payload>>24), byte(payload>>16), byte(payload>>8), byte(payload))
	}
	return append(b, make([]byte, 4+payload)...)
}

func TestScannerFindsFramesThatAreNoMessages(t *testing.T) {
	stream := bytes.Join([][]byte{
		clientFrame(0x81, 5), clientFrame(0x89, 0), clientFrame(0x8a, 125), // a message, a ping, a pong
		clientFrame(0x01, 0), clientFrame(0x00, 0), clientFrame(0x00, 511), clientFrame(0x00, 512), clientFrame(0x80, 0), // 3 small fragments
		clientFrame(0x82, 70_000), clientFrame(0x82, 300), clientFrame(0x88, 2),
		clientFrame(0x8a, 3),
	}, nil)
	for _, step := range []int{1, 2, 3, 7, 512, len(stream)} {
		var s scanner
		small := 0
		for left := stream; len(left) > 0; {
			n := min(step, len(left))
			few, good, fault := s.scan(left[:n])
			if good != n || fault != nil {
				t.Fatalf("in pieces of %d: %v after %d bytes", step, fault, good)
			}
			small += few
			left = left[n:]
		}
		if small != 6 || !s.closed {
			t.Errorf("in pieces of %d: %d frames, want 6; close frame seen: %v", step, small, s.closed)
		}
	}
}

func TestScannerRefusesWhatGorillaTakes(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		header []byte
		want   error
	}{
		"5 in 16 bits":              {[]byte{0x81, 0xfe, 0, 5, 0, 0, 0, 0}, errLength},
		"125 in 16 bits":            {[]byte{0x82, 0xfe, 0, 125, 0, 0, 0, 0}, errLength},
		"0 in 16 bits, ping":        {[]byte{0x89, 0xfe, 0, 0, 0, 0, 0, 0}, errLength},
		"300 in 64 bits":            {[]byte{0x81, 0xff, 0, 0, 0, 0, 0, 0, 1, 44, 0, 0, 0, 0}, errLength},
		"65,535 in 64 bits":         {[]byte{0x00, 0xff, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0, 0, 0, 0}, errLength},
		"5 in 16 bits, unmasked":    {[]byte{0x81, 126, 0, 5}, errLength},
		"64 bits, the first is set": {[]byte{0x82, 0xff, 0x80, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0}, errLengthBit},
		"close with one byte":       {[]byte{0x88, 0x81, 0, 0, 0, 0}, errCloseCode},
		"126 in 16 bits":            {[]byte{0x81, 0xfe, 0, 126, 0, 0, 0, 0}, nil},
		"65,536 in 64 bits":         {[]byte{0x81, 0xff, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0}, nil},
		"close without a code":      {[]byte{0x88, 0x80, 0, 0, 0, 0}, nil},
	} {
		for _, step := range []int{1, 3, 1000} {
			before := clientFrame(0x81, 7)
			stream := bytes.Join([][]byte{before, tt.header}, nil)
			var s scanner
			var fault error
			passed := 0
			for left := stream; len(left) > 0 && fault == nil; {
				n := min(step, len(left))
				var good int
				_, good, fault = s.scan(left[:n])
				passed += good
				left = left[n:]
			}
			if !errors.Is(fault, tt.want) {
				t.Errorf("%s, in pieces of %d: %v, want %v", name, step, fault, tt.want)
			}
			if fault != nil && (passed < len(before) || passed == len(stream)) {
				t.Errorf("%s, in pieces of %d: %d bytes passed of %d, the first %d are right", name, step, passed, len(stream), len(before))
			}
		}
	}
}
