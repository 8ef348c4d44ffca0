package session

import (
	"encoding/json"
	"net/http"
	"time"

	"github.com/gotapi/gotapi-ws/wire/group"
)

// maxWho is how many members of a group Who shows.
const maxWho = 1000

// who is a member as an operator sees it.
type who struct {
	Session uint32 `json:"session"`
	User    string `json:"user,omitempty"`
	Address string `json:"address"`
	// Since is when the WebSocket or event stream was opened.
	Since time.Time `json:"since"`
	// QueuedBytes wait to be sent to it.
	QueuedBytes int `json:"queuedBytes"`
}

// Who answers {"total":N,"members":[...]} with the members that the group of the parameter
// groupName has on this edge, at most 1000.
func (s *Server) Who(w http.ResponseWriter, r *http.Request) {
	name, err := group.Parse(r.URL.Query().Get("groupName"))
	if err != nil {
		http.Error(w, "groupName: "+err.Error(), http.StatusBadRequest)
		return
	}
	ids, total := s.rooms.Sessions(name, maxWho)
	members := make([]who, 0, len(ids))
	for _, id := range ids {
		if c := s.sessions.byID(id); c != nil { // it may have left meanwhile
			members = append(members, who{Session: id, User: c.by.Name(), Address: c.address, Since: c.began, QueuedBytes: c.out.Queued()})
		} else if one, ok := s.sessions.stream(id); ok {
			members = append(members, who{Session: id, User: one.User, Address: one.Address, Since: one.Since, QueuedBytes: one.Queued()})
		}
	}
	w.Header().Set("Content-Type", "application/json")
	//nolint:errchkjson // the times are ours; the client may have gone
	_ = json.NewEncoder(w).Encode(struct {
		Total   int   `json:"total"`
		Members []who `json:"members"`
	}{total, members})
}
