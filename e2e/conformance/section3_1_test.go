package conformance

import (
	"fmt"
	"net/http"
	"testing"

	"github.com/gotapi/gotapi-ws/e2e/internal/client"
	historyv1 "github.com/gotapi/gotapi-ws/proto/gen/gotapi/history/v1"
)

func Test3_1_ABatchIsDeliveredInOrderAndStoredOnce(t *testing.T) {
	t.Parallel()
	a, b := client.Group(), client.Group()
	inA, inB := client.Join(t, there(), a), client.Join(t, there(), b)
	var lines []string
	for i := range 300 { // more than one round
		lines = append(lines, client.BatchLine(a, client.Data(fmt.Sprint("u", i), "x")))
	}
	lines = append(lines, client.BatchLine(b, "hello"), client.BatchLine(b, client.Data("u", "x")))
	results := client.Batch(t, here(), lines...)
	for i := range 300 {
		r, uuid := results[i], fmt.Sprint("u", i)
		if r.Code != http.StatusOK || r.Group != a || !r.Stored || r.UUID != uuid || r.Duplicate || r.Seq != uint64(i+1) || r.At == 0 {
			t.Fatalf("result %d: %+v", i, r)
		}
		inA.Want(client.Data(uuid, "x"))
	}
	if r := results[300]; r.Code != http.StatusOK || r.Group != b || r.Stored {
		t.Errorf("a packet that is not stored: %+v", r)
	}
	inB.Want("hello")
	inB.Want(client.Data("u", "x"))
	for i, r := range client.Batch(t, here(), lines[:300]...) {
		if r.Code != http.StatusOK || !r.Duplicate || r.Seq != uint64(i+1) || r.At != results[i].At {
			t.Fatalf("repeated: result %d: %+v, want a duplicate of %+v", i, r, results[i])
		}
	}
	if page := client.History(t, here(), a, "size", "1000"); len(page.Data) != 300 {
		t.Errorf("%d messages are stored, want 300", len(page.Data))
	}
}

func Test3_1_ABadLineIsRefusedAlone(t *testing.T) {
	t.Parallel()
	g := client.Group()
	results := client.Batch(t, here(), client.BatchLine(g, "one"), "{}", client.BatchLine("/timer", "two"), client.BatchLine(g, "three"))
	var codes []int
	for _, r := range results {
		codes = append(codes, r.Code)
	}
	if fmt.Sprint(codes) != "[200 400 403 200]" {
		t.Errorf("got %v", results)
	}
}

func Test8_PublishBatchIsAsOverHTTP(t *testing.T) {
	t.Parallel()
	service := service(t)
	g := client.Group()
	m := client.Join(t, there(), g)
	publish := func(group, packet, key string) *historyv1.PublishRequest {
		return &historyv1.PublishRequest{GroupName: group, Packet: []byte(packet), IdempotencyKey: key}
	}
	request := &historyv1.PublishBatchRequest{Publishes: []*historyv1.PublishRequest{
		publish(g, client.Data("u", "x"), ""), publish("bad", "x", ""), publish("/timer", "x", ""), publish(g, "hello", ""),
		publish(g, client.Data("u", "y"), ""), publish(g, `{"type":2}`, "key"), publish(g, `{"type":2}`, "key"),
	}}
	response, err := service.PublishBatch(t.Context(), request)
	if err != nil {
		t.Fatal(err)
	}
	got := ""
	for _, r := range response.GetResults() {
		got += fmt.Sprintf("%d stored=%t %q duplicate=%t %d %s at=%t\n", r.GetCode(), r.GetStored(), r.GetUuid(), r.GetDuplicate(), r.GetSeq(), r.GetReason(), r.GetAt() != 0)
	}
	want := `200 stored=true "u" duplicate=false 1  at=true
400 stored=false "" duplicate=false 0 INVALID_FIELD at=false
403 stored=false "" duplicate=false 0 GROUP_RESERVED at=false
200 stored=false "" duplicate=false 0  at=false
200 stored=true "u" duplicate=true 1  at=true
200 stored=true "" duplicate=false 2  at=true
200 stored=true "" duplicate=true 2  at=true
`
	if got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
	m.Want(client.Data("u", "x"))
	m.Want("hello")
	m.Want(`{"type":2}`)
	for _, n := range []int{0, 1001} {
		if _, err := service.PublishBatch(t.Context(), &historyv1.PublishBatchRequest{Publishes: make([]*historyv1.PublishRequest, n)}); err == nil {
			t.Errorf("a batch of %d was taken", n)
		}
	}
}
