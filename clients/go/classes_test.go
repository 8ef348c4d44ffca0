package gotapi_test

import (
	"fmt"
	"io"
	"net/http"
	"testing"

	gotapi "github.com/gotapi/gotapi-ws/clients/go"
)

// reply is one answer of a server, or of something before it.
type reply struct {
	status int
	body   string
}

// own is what a gotapi-ws server answers.
func own(status int) reply { return reply{status, fmt.Sprintf(`{"code":%d,"msg":"why"}`, status)} }

func (r reply) write(w http.ResponseWriter) {
	w.WriteHeader(r.status)
	_, _ = io.WriteString(w, r.body)
}

// passing are answers after which another one may follow.
func passing() []reply {
	const page = "<!doctype html><title>We will be right back</title>"
	var all []reply
	for _, status := range []int{408, 421, 425, 429, 500, 502, 503, 504, 520, 530, 561, 599} {
		all = append(all, own(status), reply{status, page}, reply{status, ""})
	}
	for _, status := range []int{200, 204, 400, 401, 403, 404, 405, 413, 431} {
		all = append(all, reply{status, page}, reply{status, ""}, reply{status, `{"message":"no healthy upstream"}`}, reply{status, `{"code":0,"msg":"x"}`})
	}
	return all
}

func TestAnswersThatPassEndNoMember(t *testing.T) {
	for _, r := range passing() {
		if r.status == http.StatusNoContent {
			r.body = ""
		}
		t.Run(fmt.Sprintf("%d %.12s", r.status, r.body), func(t *testing.T) {
			t.Parallel()
			s := &script{t: t}
			refused := false
			m, err := clientOf(t, http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
				if q.URL.Path == "/room" && !refused {
					refused = true
					r.write(w)
					return
				}
				s.ServeHTTP(w, q)
			})).Join("/room", gotapi.JoinOptions{After: "a"})
			if err != nil {
				t.Fatal(err)
			}
			defer m.Close()
			if got := heard(t, m, 2); got[0] != "disconnected" || got[1] != "connected" {
				t.Errorf("got %q, want disconnected and connected", got)
			}
		})
	}
}

func TestRefusalsOfTheServerItselfEndAMember(t *testing.T) {
	for _, status := range []int{400, 401, 403, 404, 405, 413, 426} {
		m, err := clientOf(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { own(status).write(w) })).
			Join("/room", gotapi.JoinOptions{After: "a"})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := m.Next(t.Context()); gotapi.CodeOf(err) != status {
			t.Errorf("status %d: %v", status, err)
		}
		m.Close()
	}
}

func TestPublishOutlastsAnswersThatPass(t *testing.T) {
	replies := append(passing(), reply{200, `{"code":200,"stored":true,"uuid":"1"}`})
	tries := 0
	c := clientOf(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		replies[min(tries, len(replies)-1)].write(w)
		tries++
	}))
	if p, err := c.Publish(t.Context(), "/room", []byte(data("1"))); err != nil || !p.Stored {
		t.Errorf("after %d of %d answers: %+v, %v", tries, len(replies), p, err)
	}
}

func TestAProxysAnswerIsNoProofThatAPacketWasNotPublished(t *testing.T) {
	for _, r := range []reply{{503, "upstream reset"}, {503, `{"code":200}`}, {200, "<html>"}, {200, "{}"}, {404, ""}} {
		tries := 0
		c := clientOf(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { tries++; r.write(w) }))
		_, err := c.Publish(t.Context(), "/room", []byte("low-level"))
		if err == nil || tries != 1 || gotapi.CodeOf(err) != 0 {
			t.Errorf("%+v: %d tries and %v, want one and an error that is no refusal", r, tries, err)
		}
	}
}

func TestReadsOutlastAnswersThatPass(t *testing.T) {
	replies := []reply{{404, "<html>"}, {200, "<html>"}, {200, "{}"}, own(408), {530, ""}, {200, `{"code":200,"data":["a"]}`}}
	tries := 0
	c := clientOf(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		replies[min(tries, len(replies)-1)].write(w)
		tries++
	}))
	if p, err := c.History(t.Context(), "/room", gotapi.PageRequest{}); err != nil || len(p.Packets) != 1 {
		t.Errorf("after %d of %d answers: %+v, %v", tries, len(replies), p, err)
	}
}
