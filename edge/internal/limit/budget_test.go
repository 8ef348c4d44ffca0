package limit

import (
	"testing"

	"github.com/prometheus/client_golang/prometheus"
)

func TestBudgetIsHalfOfTheMemory(t *testing.T) {
	b := NewBudget(1<<30, prometheus.NewRegistry())
	if n := b.Queues.Size() + b.Fetches.Size() + b.Pages.Size() + b.Resumes.Size() + b.Inputs.Size(); n != 512<<20 {
		t.Errorf("%d bytes, want half", n)
	}
}
