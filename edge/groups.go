package edge

import (
	"github.com/gotapi/gotapi-ws/internal/groupsettings"
	"github.com/gotapi/gotapi-ws/wire/group"
)

// explain returns the settings of a group, and where each is from. host is where this
// edge listens, and maxMessageBytes the flag of now.
func (c *Config) explain(groups *groupsettings.File, host string, maxMessageBytes func() int) func(group.Name) groupsettings.Explanation {
	return func(g group.Name) groupsettings.Explanation {
		return groups.Explain(g, host, func(e *groupsettings.Entry) []groupsettings.Value {
			return []groupsettings.Value{
				groupsettings.Explain("max-message-bytes", e.MaxMessageBytes, maxMessageBytes(), "-max-message-bytes"),
				groupsettings.Explain("limit-messages", e.LimitMessages, c.Limits.GroupMessages, "-limit-group-messages"),
				groupsettings.ExplainHooks(e.Hooks, groupsettings.HooksOf(c.Hooks.BeforeURL != "", c.Hooks.AfterURL != "")),
			}
		})
	}
}
