package historyconn

import "testing"

func TestCheckTarget(t *testing.T) {
	for target, ok := range map[string]bool{
		"127.0.0.1:5998":                true,
		"127.0.0.1:5998,127.0.0.1:5999": true,
		"a:1, b:2":                      true,
		"dns:///historysvc:5998":        true,
		"passthrough:///x":              true,
		"[::1]:5998":                    true,
		"unix:///run/historysvc":        true,
		"nonsense:///x":                 false,
		"":                              false,
		"127.0.0.1":                     false,
		"127.0.0.1:5998,":               false,
		":5998":                         false,
		"a:x":                           false,
		"a:0":                           false,
		"a:70000":                       false,
	} {
		if err := CheckTarget(target); (err == nil) != ok {
			t.Errorf("CheckTarget(%q): got %v, want ok %v", target, err, ok)
		}
	}
}
