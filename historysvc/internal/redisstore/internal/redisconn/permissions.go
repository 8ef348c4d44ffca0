package redisconn

import (
	"context"
	_ "embed" // the script
	"fmt"
	"strings"
)

//go:embed permissions.lua
var permissionsSource string

// RequireCommands returns an error that names the commands that the user may not run or
// the server does not know. Servers before Redis 7 cannot report permissions; it assumes
// that they allow all commands.
func (c *Conn) RequireCommands(ctx context.Context, commands [][]any) error {
	var words []any
	for _, command := range append(c.commands(), commands...) {
		words = append(append(words, len(command)), command...)
	}
	denied, err := c.Eval(ctx, c.Script(permissionsSource, 0), nil, words...)
	if err != nil {
		return c.unusable(err)
	}
	if denied.Len() > 0 {
		return fmt.Errorf("redis refused access: the user may not run these commands on the service's keys and channels: %s (docs/redis.md)", strings.Join(denied.Rest(), ", "))
	}
	return nil
}

// commands are what the connection sends by itself.
func (c *Conn) commands() [][]any {
	all := [][]any{{"ping"}, {"info"}, {"multi"}, {"exec"}, {"exists", aliveKey + "0"}}
	if c.Acks().Wanted() {
		all = append(all, c.Acks().command(1))
	}
	return all
}
