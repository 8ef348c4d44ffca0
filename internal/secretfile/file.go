package secretfile

import (
	"context"
	"log/slog"

	"github.com/gotapi/gotapi-ws/internal/watchedfile"
)

// File is a file whose secret may be replaced while the program runs. A nil *File has no
// secret.
type File watchedfile.File[[]byte]

var kind = watchedfile.Kind{Kept: "reload secret: keep the previous one", Used: "new secret is in use"}

// Open reads the file that a setting names; it returns nil for the path "". parse,
// which may be nil, makes the secret of what the file holds.
func Open(setting, path string, parse func([]byte) ([]byte, error), log *slog.Logger) (*File, error) {
	read := func(b []byte) ([]byte, error) {
		secret, err := secretIn(path, b)
		if err == nil && parse != nil {
			secret, err = parse(secret)
		}
		return secret, err
	}
	f, err := watchedfile.Open(setting, path, read, kind, log)
	return (*File)(f), err
}

func (f *File) watched() *watchedfile.File[[]byte] { return (*watchedfile.File[[]byte])(f) }

// Secret is that of now.
func (f *File) Secret() []byte { return f.watched().Value() }

// Text is Secret as a string.
func (f *File) Text() string { return string(f.Secret()) }

// Reload reads the file now.
func (f *File) Reload() { f.watched().Reload() }

// Run reads the file from time to time, until ctx ends.
func (f *File) Run(ctx context.Context) { f.watched().Run(ctx) }
