package conformance

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/gotapi/gotapi-ws/e2e/internal/client"
)

func Test3_AnyContentTypeIsOnePacket(t *testing.T) {
	t.Parallel()
	g := client.Group()
	m := client.Join(t, there(), g)
	for i, kind := range []string{"", client.Form, "application/json", "text/plain", "multipart/form-data; boundary=x", "application/octet-stream", "nonsense", "application/grpc"} {
		var headers []string
		if kind != "" {
			headers = []string{"Content-Type: " + kind}
		}
		uuid := fmt.Sprint("u", i)
		packet := client.Data(uuid, "a=b&c=%20+ü")
		wantPublished(t, client.Do(t, "POST", here(), g, packet, headers...), g, true, uuid)
		m.Want(packet)
		wantPublished(t, client.Do(t, "POST", here(), g, "position=1&size=%zz", headers...), g, false, "")
		m.Want("position=1&size=%zz")
	}
}

func Test3_AllMembersGetIt(t *testing.T) {
	t.Parallel()
	g := client.Group()
	members := join(t, g, 6)
	client.Publish(t, here(), g, "low")
	client.Publish(t, here(), g, client.Data("u", "x"))
	client.Publish(t, here(), g, `{"type":1,"command":3,"uuid":"u"}`)
	for _, m := range members {
		m.Want("low")
		m.Want(client.Data("u", "x"))
		m.Want(`{"type":1,"command":3,"uuid":"u"}`)
	}
}

func Test3_BytesThatAreNotUTF8AreSentAsBinary(t *testing.T) {
	t.Parallel()
	g := client.Group()
	m := client.Join(t, there(), g)
	for _, body := range []string{"\xff", "\x00\x80", "é\xc3"} {
		wantPublished(t, client.Do(t, "POST", here(), g, body), g, false, "")
		m.WantMessage(client.Message{Binary: true, Data: body})
	}
	client.Publish(t, here(), g, "\x00")
	m.Want("\x00")
}

func Test3_ChunkedBodiesAreRead(t *testing.T) {
	t.Parallel()
	g := client.Group()
	m := client.Join(t, there(), g)
	head := "POST " + g + " HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
	wantPublished(t, client.Raw(t, "POST", here(), head+"4\r\nchun\r\n3\r\nked\r\n0\r\n\r\n"), g, false, "")
	m.Want("chunked")
	wantError(t, "empty chunked body", client.Raw(t, "POST", here(), head+"0\r\n\r\n"), http.StatusBadRequest)
	chunk := fmt.Sprintf("%x\r\n%s\r\n", 1000, strings.Repeat("x", 1000))
	large := head + strings.Repeat(chunk, target.limit/1000+2) + "0\r\n\r\n"
	wantError(t, "large chunked body", client.Raw(t, "POST", here(), large), http.StatusRequestEntityTooLarge)
	client.Publish(t, here(), g, "end")
	m.Want("end")
}

func Test3_EmptyAndTooLargeBodies(t *testing.T) {
	t.Parallel()
	g := client.Group()
	m := client.Join(t, there(), g)
	wantError(t, "empty body", client.Do(t, "POST", here(), g, ""), http.StatusBadRequest)
	wantError(t, "no length", client.Raw(t, "POST", here(), "POST "+g+" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"), http.StatusBadRequest)
	largest := strings.Repeat("x", target.limit)
	wantError(t, "too large", client.Do(t, "POST", here(), g, largest+"x"), http.StatusRequestEntityTooLarge)
	wantPublished(t, client.Do(t, "POST", here(), g, largest), g, false, "")
	m.Want(largest)
	wantTexts(t, "history", client.History(t, here(), g).Data, nil)
}

func Test3_ADataPacketIsAnsweredAfterItIsStored(t *testing.T) {
	t.Parallel()
	g := client.Group()
	for i := range 30 {
		client.Publish(t, here(), g, numbered(i))
		wantTexts(t, "history", client.History(t, there(), g, "size", "1").Data, numbers(i, i))
	}
}

func Test3_LobbyAndClockAre403(t *testing.T) {
	t.Parallel()
	wantError(t, "POST /", client.Do(t, "POST", here(), "/", "x"), http.StatusForbidden)
	wantError(t, "POST /?x", client.Do(t, "POST", here(), "/?x=1", client.Data("u", "x")), http.StatusForbidden)
	wantError(t, "POST /timer", client.Do(t, "POST", here(), "/timer", "x"), http.StatusForbidden)
}

func Test3_OtherMethodsAre405(t *testing.T) {
	t.Parallel()
	g := client.Group()
	for _, method := range []string{"PUT", "DELETE", "PATCH", "FOO"} {
		a := client.Do(t, method, here(), g, "x")
		wantError(t, method, a, http.StatusMethodNotAllowed)
		if allow := a.Header.Get("Allow"); !strings.Contains(allow, "POST") {
			t.Errorf("%s: Allow is %q", method, allow)
		}
	}
}

func Test3_TheMethodCannotBeOverridden(t *testing.T) {
	t.Parallel()
	g := client.Group()
	m := client.Join(t, there(), g)
	wantPublished(t, client.Do(t, "POST", here(), g, "x", "X-HTTP-Method-Override: GET"), g, false, "")
	m.Want("x")
	a := client.Do(t, "GET", here(), "/__/cancel?"+client.Values("groupName", g, "uuid", "a").Encode(), "", "X-HTTP-Method-Override: POST")
	wantError(t, "GET as POST", a, http.StatusMethodNotAllowed)
	a = client.Do(t, "POST", here(), "/__/groups", "", "X-HTTP-Method-Override: GET")
	wantError(t, "POST as GET", a, http.StatusMethodNotAllowed)
}
