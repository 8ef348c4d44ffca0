package relayversion

import "testing"

func TestProgramsMeetIfTheyHaveAProtocolInCommon(t *testing.T) {
	for _, tt := range []struct {
		a, b Range
		want bool
	}{
		{Range{1, 1}, Range{1, 1}, true},
		{Range{1, 2}, Range{2, 3}, true},
		{Range{1, 2}, Range{3, 4}, false},
		{Range{1, 5}, Range{2, 3}, true},
		{Range{}, Range{1, 1}, false},
	} {
		if tt.a.Meets(tt.b) != tt.want || tt.b.Meets(tt.a) != tt.want {
			t.Errorf("%v meets %v: %t and %t, want %t", tt.a, tt.b, tt.a.Meets(tt.b), tt.b.Meets(tt.a), tt.want)
		}
	}
	for _, tt := range []struct {
		a, b string
		want bool
	}{
		{"v1.4.0", "1.5.2", true},
		{"v1.4.0-3-gabc", "v1.6.0", false},
		{"v1.4.0", "v2.4.0", false},
		{"v1.4.0", "devel", true},
		{"", "v1.x", true},
	} {
		if MayMeet(tt.a, tt.b) != tt.want || MayMeet(tt.b, tt.a) != tt.want {
			t.Errorf("%q may meet %q: want %t", tt.a, tt.b, tt.want)
		}
	}
	if !Ours.Meets(Ours) {
		t.Error("this program does not meet itself")
	}
}
