package relay

// MayPass reports whether the same packet may be accepted if it is sent again.
func (o Outcome) MayPass() bool {
	return o == Busy || o == Unavailable || o == Unchecked || o == Unknown
}

// keptBack is the result of a publication that comes after one of its group, in a batch,
// whose outcome may pass: if it was published, it would overtake that one.
var keptBack = Result{Outcome: Unavailable, Reason: "a packet before it in the batch was refused"}

// Refused are publications that are not published, with their results.
type Refused []struct {
	*Publication
	result Result
}

// End gives their senders the results.
func (all Refused) End() {
	for _, r := range all {
		r.Publication.End(r.result)
	}
}

// Sift divides a batch. refusal returns why the ith publication is refused; the Outcome is 0
// if it is not. After a refusal that may pass, those of the same group that follow are
// refused as well, and refusal is not asked. Sift uses the memory of batch for admitted.
func Sift(batch []*Publication, refusal func(i int) Result) (admitted []*Publication, refused Refused) {
	admitted = batch[:0:len(batch)]
	var barred *Publication
	for i, p := range batch {
		result := keptBack
		if barred == nil || barred.Group != p.Group {
			barred = nil
			if result = refusal(i); result.Outcome == 0 {
				admitted = append(admitted, p)
				continue
			}
			if result.Outcome.MayPass() {
				barred = p
			}
		}
		refused = append(refused, struct {
			*Publication
			result Result
		}{p, result})
	}
	return admitted, refused
}

// RunLength returns how many of the publications that batch begins with are a run, which
// goes into one frame: of one group, and not too many or too large together.
func RunLength(batch []*Publication) (n int) {
	size := 0
	for n < len(batch) && n < maxFrameItems && batch[n].Group == batch[0].Group {
		size += entrySize(batch[n])
		if n > 0 && size > maxFrameBytes {
			break
		}
		n++
	}
	return n
}
