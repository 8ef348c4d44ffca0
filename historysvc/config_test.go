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
