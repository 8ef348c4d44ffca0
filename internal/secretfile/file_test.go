package secretfile_test

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gotapi/gotapi-ws/internal/secretfile"
)

// lockedText is a log that is read while others write it.
type lockedText struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *lockedText) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

// take returns the text so far, and begins again.
func (l *lockedText) take() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	defer l.text.Reset()
	return l.text.String()
}

func TestAReplacedSecretIsUsedAndABrokenOneIsNot(t *testing.T) {
	path := write(t, "first\n")
	synctest.Test(t, func(t *testing.T) {
		var log lockedText
		parse := func(b []byte) ([]byte, error) {
			if string(b) == "bad" {
				return nil, errors.New("cannot be used")
			}
			return b, nil
		}
		f, err := secretfile.Open("-secret-file", path, parse, slog.New(slog.NewTextHandler(&log, nil)))
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go f.Run(ctx)
		for _, step := range []struct{ content, want, says string }{
			{"first\n", "first", ""},
			{"second\n", "second", "new secret is in use"},
			{"\xef\xbb\xbfthird\n", "second", path + " begins with a byte order mark"},
			{"bad", "second", "-secret-file: cannot be used"},
			{"", "second", path + " is empty"},
			{"fourth", "fourth", "new secret is in use"},
		} {
			if err := os.WriteFile(path, []byte(step.content), 0o600); err != nil {
				t.Fatal(err)
			}
			log.take()
			time.Sleep(20 * time.Second)
			synctest.Wait()
			if f.Text() != step.want {
				t.Errorf("after %q: the secret is %q, want %q", step.content, f.Text(), step.want)
			}
			if said := log.take(); !strings.Contains(said, step.says) || strings.Count(said, "\n") > 1 {
				t.Errorf("after %q: the log is %q, want %q once", step.content, said, step.says)
			}
		}
	})
}

func TestNoFileIsNoSecret(t *testing.T) {
	f, err := secretfile.Open("-secret-file", "", nil, nil)
	if f != nil || err != nil || f.Secret() != nil || f.Text() != "" {
		t.Errorf("got %v, %v", f, err)
	}
	f.Reload()
	f.Run(t.Context()) // returns: there is nothing to read
}
