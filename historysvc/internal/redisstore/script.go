package redisstore

import (
	_ "embed" // the scripts
	"strings"

	"github.com/redis/go-redis/v9"
)

// The scripts. Their head comments say what they take and return.
var (
	//go:embed append.lua
	appendSource string
	//go:embed adopt.lua
	adoptSource string
	//go:embed erase.lua
	eraseSource string
	//go:embed ttl.lua
	ttlSource string
	//go:embed find.lua
	findSource string
	//go:embed slice.lua
	sliceSource string
	//go:embed page.lua
	pageSource string
	//go:embed cancel.lua
	cancelSource string
	//go:embed read.lua
	readSource string
	//go:embed announce.lua
	announceSource string
	//go:embed permissions.lua
	permissionsSource string
)

type scripts struct {
	append       *redis.Script
	appendSource string

	adopt, erase, ttl, find, slice, page, cancel, read, announce, permissions *redis.Script
}

// newScripts prepares the scripts for a server. From Redis 7 on, the shebang
// makes it check a script's keys and, unless a flag allows it, refuse it before its
// first command when memory is short: history is read and messages are recalled then,
// too. Servers that do not know it take it for a mistake.
func newScripts(shebang bool) scripts {
	source := func(s string) string {
		if shebang {
			return s
		}
		_, body, _ := strings.Cut(s, "\n")
		return body
	}
	load := func(s string) *redis.Script { return redis.NewScript(source(s)) }
	return scripts{
		append:       load(appendSource),
		appendSource: source(appendSource),
		adopt:        load(adoptSource),
		erase:        load(eraseSource),
		ttl:          load(ttlSource),
		find:         load(findSource),
		slice:        load(sliceSource),
		page:         load(pageSource),
		cancel:       load(cancelSource),
		read:         load(readSource),
		announce:     load(announceSource),
		permissions:  load(permissionsSource),
	}
}
