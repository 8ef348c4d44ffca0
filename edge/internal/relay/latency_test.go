package relay

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	relayv1 "github.com/gotapi/gotapi-ws/proto/gen/gotapi/relay/v1"
	"github.com/gotapi/gotapi-ws/wire/stream"
)

// histogram returns how often h was observed, and the sum.
func histogram(t *testing.T, h prometheus.Histogram) (n uint64, sum float64) {
	t.Helper()
	var m dto.Metric
	if err := h.Write(&m); err != nil {
		t.Fatal(err)
	}
	return m.GetHistogram().GetSampleCount(), m.GetHistogram().GetSampleSum()
}

func TestEveryAnswerAndOneDeliveryIn64AreMeasured(t *testing.T) {
	const all = 6400
	synctest.Test(t, func(t *testing.T) {
		rig, answers := newRig(t, Options{}), newAnswers(t)
		conn := rig.service.next(t)
		for n := uint32(1); n <= all; n++ {
			rig.Publish(answers.publication(n, stream.Message))
		}
		time.Sleep(2 * time.Second)
		for done := 0; done < all; {
			publishes := conn.frame().GetPublishes()
			done += len(publishes)
			delivery := &relayv1.Delivery{Channel: 1}
			for _, p := range publishes {
				delivery.Events = append(delivery.Events, &relayv1.Event{OriginEdge: rig.Edge(), OriginId: p.GetId()})
				// Another edge's has the same id.
				delivery.Events = append(delivery.Events, &relayv1.Event{OriginEdge: rig.Edge() + 2, OriginId: p.GetId()})
			}
			conn.send(&relayv1.ConnectResponse{Deliveries: []*relayv1.Delivery{delivery}})
			conn.answer(accepted, publishes...)
		}
		synctest.Wait()
		if n, sum := histogram(t, rig.metrics.publishSeconds); n != all || sum < 2*all {
			t.Errorf("answers: got %d in %v s, want %d of at least 2 s each", n, sum, all)
		}
		n, sum := histogram(t, rig.metrics.deliverySeconds)
		if n < all/128 || n > all/32 || sum < 2*float64(n) {
			t.Errorf("deliveries: got %d in %v s, want about %d of at least 2 s each", n, sum, all/64)
		}
		if len(rig.samples.began) != 0 {
			t.Errorf("%d publications are still followed, want none", len(rig.samples.began))
		}
	})
}

func TestRefusedPublicationsAreNotFollowed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rig, answers := newRig(t, Options{}), newAnswers(t)
		conn := rig.service.next(t)
		for n := uint32(1); n <= 640; n++ {
			rig.Publish(answers.publication(n, stream.Message))
		}
		for done := 0; done < 640; {
			publishes := conn.frame().GetPublishes()
			done += len(publishes)
			conn.answer(unavailable, publishes...)
		}
		synctest.Wait()
		if len(rig.samples.began) != 0 {
			t.Errorf("%d publications are followed, want none", len(rig.samples.began))
		}
	})
}

func TestWhatIsFollowedIsBounded(t *testing.T) {
	var s samples
	for n := range uint32(100 * 64 * 100) {
		s.begin(&Publication{Session: 1, Number: n}, time.Now())
	}
	if n := len(s.began); n == 0 || n > maxSamples {
		t.Errorf("%d publications are followed, want 1 to %d", n, maxSamples)
	}
}
