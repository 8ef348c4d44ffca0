package alarm_test

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/gotapi/gotapi-ws/services/alarm"
	"github.com/gotapi/gotapi-ws/services/tlsfiles"
	"github.com/gotapi/gotapi-ws/services/tlsfiles/tlstest"
)

func TestCertificatesThatEndWithinTwoWeeksAreAlarms(t *testing.T) {
	dir, authority, now := t.TempDir(), tlstest.NewAuthority(t), time.Now()
	cert, key := authority.Client(t, now.Add(20*24*time.Hour)).Write(t, dir, "client")
	ca := filepath.Join(dir, "ca.crt")
	tlstest.WriteFile(t, ca, authority.PEM)
	open := func(p tlsfiles.Paths, use string) *tlsfiles.Files {
		t.Helper()
		files, err := tlsfiles.Open(p, use, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
		if err != nil {
			t.Fatal(err)
		}
		return files
	}
	files := []*tlsfiles.Files{nil, open(tlsfiles.Paths{CA: ca}, "redis"), open(tlsfiles.Paths{Cert: cert, Key: key}, "http")}
	if got := alarm.Certificates(now, files...); len(got) != 0 {
		t.Errorf("20 days before: %v, want none", got)
	}
	got := alarm.Certificates(now.Add(7*24*time.Hour), files...)
	if len(got) != 1 || got[0].Name != "GotapiCertificateExpires" || !strings.Contains(got[0].Text, "for http ends at ") {
		t.Errorf("13 days before: %v, want one", got)
	}
}

func TestFewFilesAreAnAlarm(t *testing.T) {
	for _, tt := range []struct{ open, most, want int }{{80, 100, 0}, {81, 100, 1}, {1 << 20, 0, 0}} {
		if got := alarm.Files("files", tt.open, tt.most); len(got) != tt.want {
			t.Errorf("%d of %d: %v, want %d", tt.open, tt.most, got, tt.want)
		}
	}
	before := alarm.OpenFiles()
	const more = 20
	for range more {
		f, err := os.Open(os.DevNull)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
	}
	if now := alarm.OpenFiles(); before == 0 || now < more {
		t.Errorf("%d files are open, and %d after %d more", before, now, more)
	}
}

func TestAlarmsNameTheirProcess(t *testing.T) {
	if got := alarm.Of("edge h:1", alarm.Alarm{Name: "A", Text: "full"}); len(got) != 1 || got[0] != (alarm.Alarm{Name: "A", Text: "edge h:1: full"}) {
		t.Errorf("got %v", got)
	}
}
