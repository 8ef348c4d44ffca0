package secretfile

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
)

// checkEvery is how often a File is looked at. It is also how long a replaced secret
// may stay in use. Files of Kubernetes appear as new links, so contents are compared.
const checkEvery = 5 * time.Second

// File is a file whose secret may be replaced while the program runs. A new secret
// that cannot be used changes nothing: the one before stays in use, and the log says
// why. A nil *File has no secret. It is safe for concurrent use.
type File struct {
	// setting is the flag that names it.
	setting, path string
	parse         func([]byte) ([]byte, error)
	log           *slog.Logger
	secret        atomic.Pointer[[]byte]

	mu sync.Mutex
	// Why it could not be read the last time; "" if it could.
	failure string
}

// Open reads the file that a setting names; it returns nil for the path "". parse,
// which may be nil, makes the secret of what the file holds.
func Open(setting, path string, parse func([]byte) ([]byte, error), log *slog.Logger) (*File, error) {
	if path == "" {
		return nil, nil
	}
	f := &File{setting: setting, path: path, parse: parse, log: log}
	secret, err := f.read()
	if err != nil {
		return nil, err
	}
	f.secret.Store(&secret)
	return f, nil
}

func (f *File) read() ([]byte, error) {
	secret, err := Read(f.path)
	if err == nil && f.parse != nil {
		secret, err = f.parse(secret)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", f.setting, err)
	}
	return secret, nil
}

// Secret is that of now.
func (f *File) Secret() []byte {
	if f == nil {
		return nil
	}
	return *f.secret.Load()
}

// Text is Secret as a string.
func (f *File) Text() string { return string(f.Secret()) }

// Reload reads the file now.
func (f *File) Reload() {
	if f == nil {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	secret, err := f.read()
	if err != nil {
		if err.Error() != f.failure {
			f.log.Error("reload secret: keep the previous one", "error", err)
		}
		f.failure = err.Error()
		return
	}
	f.failure = ""
	if !bytes.Equal(secret, f.Secret()) {
		f.secret.Store(&secret)
		f.log.Info("new secret is in use", "setting", f.setting)
	}
}

// Run reads the file from time to time, until ctx ends.
func (f *File) Run(ctx context.Context) {
	if f == nil {
		return
	}
	tick := time.NewTicker(checkEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			f.Reload()
		}
	}
}
