package console

import (
	"fmt"
	"net/http"
	"sync"
	"time"
)

// Figures are what anyone may know of this edge.
type Figures struct {
	// Members, and the groups that they are in, now.
	Members, Groups int
	// Packets that came from members and over HTTP, and packets that went to members,
	// since the edge was started.
	Received, Delivered uint64
}

// statsAge is how old figures may be: making them walks over all groups.
const statsAge = time.Second

// stats serves figures.
type stats struct {
	figures func() Figures

	mu     sync.Mutex
	body   []byte
	madeAt time.Time
}

func newStats(figures func() Figures) *stats { return &stats{figures: figures} }

// serve answers GET and HEAD.
func (s *stats) serve(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", contentTypes[".json"])
	w.Header().Set("Cache-Control", "no-store")
	_, _ = w.Write(s.current()) // the client may have gone
}

// current returns the answer, a new one if it is too old.
func (s *stats) current() []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.body == nil || time.Since(s.madeAt) >= statsAge {
		f := s.figures()
		s.body = fmt.Appendf(nil, `{"code":200,"members":%d,"groups":%d,"received":%d,"delivered":%d}`,
			f.Members, f.Groups, f.Received, f.Delivered)
		s.madeAt = time.Now()
	}
	return s.body
}
