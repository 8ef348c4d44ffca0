package historysvc_test

import (
	"strings"
	"testing"
	"time"

	"github.com/gotapi/gotapi-ws/historysvc"
)

func TestOnlyAChosenCapHoldsForAdoptedLists(t *testing.T) {
	byDefault := settings(t)
	if byDefault.HistoryCap != 10_000 || byDefault.HistoryCapChosen || byDefault.HistoryRetentionChosen {
		t.Errorf("by default: %+v", byDefault)
	}
	// The default value, but chosen.
	chosen := settings(t, "-history-cap", "10000")
	if chosen.HistoryCap != 10_000 || !chosen.HistoryCapChosen || chosen.HistoryRetentionChosen {
		t.Errorf("with a cap: %+v", chosen)
	}
	chosen = settings(t, "-history-retention=720h")
	if chosen.HistoryRetention != 720*time.Hour || !chosen.HistoryRetentionChosen || chosen.HistoryCapChosen {
		t.Errorf("with a retention: %+v", chosen)
	}
}

func TestAllBadSettingsAreNamedInOneLine(t *testing.T) {
	cfg := settings(t, "-listen", "nowhere", "-history-cap", "0", "-max-message-bytes", "0", "-drain", "-1s")
	err := cfg.Validate()
	if err == nil {
		t.Fatal("accepted")
	}
	for _, name := range []string{"-listen", "-redis", "-history-cap", "-max-message-bytes", "-drain"} {
		if !strings.Contains(err.Error(), name+":") {
			t.Errorf("%q does not name %s", err, name)
		}
	}
	if strings.Contains(err.Error(), "\n") {
		t.Errorf("%q is more than one line", err)
	}
}

func TestSettingsOfTLSToRedisNeedAURLWithTLS(t *testing.T) {
	files := []string{"-redis-tls-ca", "ca.pem", "-redis-tls-cert", "c.pem", "-redis-tls-key", "k.pem", "-redis-tls-server-name", "redis"}
	for url, valid := range map[string]bool{
		"redis://h": false, "redis+cluster://h:1": false, "rediss://h": true, "rediss+sentinel://h:1?master_name=m": true,
	} {
		cfg := settings(t, append(files, "-redis", url)...)
		if err := cfg.Validate(); (err == nil) != valid {
			t.Errorf("%s: %v", url, err)
		}
	}
	cfg := settings(t, "-redis", "rediss://h", "-redis-tls-cert", "c.pem")
	if err := cfg.Validate(); err == nil {
		t.Error("a certificate without its key is taken")
	}
}

func TestAURLThatNoRedisCanHaveIsABadSetting(t *testing.T) {
	for _, url := range []string{
		"http://h", "redis://:p%zzhidden@h/0", "redis://:hidden/x@h/0", "redis://:1/hidden@h/0", "redis://:hidden@h/abc", "redis://:hidden@h/0?nope=1",
		"redis://h/hidden", "redis://:12?hidden=1@h", "redis://h?db=hidden", "redis://h?dial_timeout=hidden", "redis://h?hidden", "unix:///s?db=hidden",
		"redis+cluster://h:1?hidden=1", "redis+cluster://h:1/hidden", "redis+sentinel://h:1/hidden?master_name=m", "redis+sentinel://h:1?master_name=m&hidden=1",
		"redis+sentinel://h:1/0", "redis+cluster://h:1/7", "redis+other://h",
	} {
		cfg := settings(t, "-redis", url)
		err := cfg.Validate()
		if err == nil || !strings.Contains(err.Error(), "-redis:") || strings.Contains(err.Error(), "hidden") {
			t.Errorf("%s: %v", url, err)
		}
	}
}

func TestAcksAreCheckedAgainstWhatCanGiveThem(t *testing.T) {
	for _, args := range [][]string{{"-ack-timeout", "1ms"}, {"-ack-timeout", "1m"}, {"-ack-timeout", "-1s"}} {
		cfg := settings(t, append(args, "-redis", "redis://h")...)
		if err := cfg.Validate(); err == nil || !strings.Contains(err.Error(), args[0]+":") {
			t.Errorf("%v: %v", args, err)
		}
	}
	cfg := settings(t, "-ack-replicas", "1")
	cfg.Embedded, cfg.Redis = true, "redis://h"
	if err := cfg.Validate(); err == nil {
		t.Error("the embedded store is to have replicas")
	}
}

func TestDefaultSettingsAreValidWithARedis(t *testing.T) {
	cfg := settings(t, "-redis", "redis://127.0.0.1:6379/0")
	if err := cfg.Validate(); err != nil {
		t.Error(err)
	}
	var zero historysvc.Config
	if zero.Validate() == nil {
		t.Error("the zero Config is not valid")
	}
}
