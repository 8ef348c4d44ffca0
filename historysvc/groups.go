package historysvc

import (
	"github.com/gotapi/gotapi-ws/historysvc/internal/redisstore"
	"github.com/gotapi/gotapi-ws/internal/groupsettings"
	"github.com/gotapi/gotapi-ws/wire/group"
)

// groupOptions returns what is different for single groups; nil: nothing is.
func groupOptions(groups *groupsettings.File) func(group.Name, *redisstore.GroupOptions) {
	if groups == nil {
		return nil
	}
	return func(g group.Name, o *redisstore.GroupOptions) {
		s := groups.Of(g)
		if s.Cap != nil {
			o.Cap, o.CapExplicit = *s.Cap, true
		}
		if s.Retention != nil {
			o.Retention, o.RetentionExplicit = *s.Retention, true
		}
		o.Transient = !groupsettings.Or(s.Store, true)
		o.Nameless = !groupsettings.Or(s.Names, true)
	}
}

// explain returns the settings of a group, and where each is from. host is where this
// service listens.
func (c *Config) explain(groups *groupsettings.File, host string) func(group.Name) groupsettings.Explanation {
	return func(g group.Name) groupsettings.Explanation {
		return groups.Explain(g, host, func(e *groupsettings.Entry) []groupsettings.Value {
			return []groupsettings.Value{
				groupsettings.Explain("store", e.Store, true, groupsettings.FromDefault),
				groupsettings.Explain("cap", e.Cap, c.HistoryCap, "-history-cap"),
				groupsettings.Explain("retention", e.Retention, c.HistoryRetention, "-history-retention"),
				groupsettings.Explain("names", e.Names, true, groupsettings.FromDefault),
				groupsettings.Explain("recall-window", e.RecallWindow, c.Access.RecallWindow, "-recall-window"),
				groupsettings.Explain("max-message-bytes", e.MaxMessageBytes, c.MaxMessageBytes, "-max-message-bytes"),
				groupsettings.Explain("limit-messages", e.LimitMessages, 0, groupsettings.FromDefault),
				groupsettings.ExplainHooks(e.Hooks, groupsettings.HooksOf(c.Hooks.BeforeURL != "", c.Hooks.AfterURL != "")),
			}
		})
	}
}
