// Package historytest is the contract that every implementation of the ports
// of package history passes.
package historytest

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gotapi/gotapi-ws/historysvc/internal/history"
	"github.com/gotapi/gotapi-ws/wire/group"
	"github.com/gotapi/gotapi-ws/wire/stream"
)

// Store is what is tested: all ports at once.
type Store interface {
	history.Log
	history.Bus
	history.Presence
	history.Census
	history.Admin
}

// Options of a store under test.
type Options struct {
	// Messages that a group keeps.
	Cap int
	// What is different for one group; nil: nothing is.
	Of func(group.Name) GroupOptions
}

// GroupOptions are what is different for one group; 0: as for all.
type GroupOptions struct {
	Cap       int
	Retention time.Duration
	// Its messages are not stored.
	Transient bool
	// It keeps no names.
	Nameless bool
}

// Opener opens a running store that ends with t. All stores that one Opener
// opens share their data. l is nil, or hears the bus.
type Opener func(t *testing.T, o Options, l history.Listener) Store

const bigCap = 10000

// contract is one test of it under way.
type contract struct {
	t    *testing.T
	open Opener
}

// Run runs the contract. newOpener is called once per test.
func Run(t *testing.T, newOpener func(t *testing.T) Opener) {
	t.Helper()
	for _, test := range []struct {
		name string
		run  func(contract)
	}{
		{"MessagesAreStoredAndHeardInTheOrderOfSubmit", testOrder},
		{"PacketsThatAreNotStoredKeepTheirPlaceAmongMessages", testLoose},
		{"OneUUIDIsStoredOnceHoweverManySubmitIt", testConcurrentDuplicates},
		{"AMessageWithoutUUIDIsStoredOncePerOrigin", testOrigin},
		{"AResendDoesNotBringARecalledMessageBack", testResendAfterRecall},
		{"ARecallErasesAndIsHeardOnce", testRecall},
		{"AnAuthorMayRecallOwnMessagesOnly", testRecallByAuthor},
		{"EveryEventHasItsTimeAndTheNameOfItsAuthor", testTimesAndNames},
		{"ADuplicateHasTheTimeOfTheFirstCopy", testTimeOfDuplicates},
		{"RecallsOfOneMessageAtOnceAreOneRecall", testConcurrentRecalls},
		{"ARecallReachesTheOldestOfManyMessages", testDeepRecall},
		{"APositionInAnyPlaceReadsExactlyTheRest", testReadFromEverywhere},
		{"ALongStreamIsReadPieceByPiece", testLongRead},
		{"AReadAfterAnyUUIDIsExact", testReadAfterUUID},
		{"AStartThatIsNotInThisHistoryIsAGap", testGaps},
		{"WhatWasTrimmedIsAGap", testTrimmed},
		{"RecallsThatWereForgottenAreAGap", testForgottenRecalls},
		{"AReadBeginsWithTheNewestMessages", testReadNewest},
		{"AReadWhoseStartIsLostBeginsWhereItWasTold", testFallbacks},
		{"AReaderResumesFromThePositionOfAnyEvent", testResumes},
		{"PagesAreWindowsFromEitherEnd", testPages},
		{"PagesBeforeAndAfterAMessage", testPagesAround},
		{"PagesBeforeAndAfterANumber", testPagesByNumber},
		{"APageEndsEarlyAtItsLimitOfBytes", testLargePage},
		{"APageHasNumbersTimesAndNamesIfTold", testMeta},
		{"AfterThePositionOfAPageComesWhatItDoesNotShow", testPositionsOfPages},
		{"AChangedPageIsNeverUnmodified", testVersions},
		{"AVersionIsThatOfOnePage", testVersionsAreOfOnePage},
		{"CopiesOfPagesAreNeverBehind", testCopiesAreNeverBehind},
		{"AnUnknownGroupIsEmpty", testUnknownGroup},
		{"HeadsAreTheEndsOfStreams", testHeads},
		{"AnUnsubscribedGroupIsSilent", testUnsubscribe},
		{"PresenceSumsOverEdges", testPresence},
		{"ATTLIsTakenBeforeAndAfterTheFirstMessage", testTTL},
		{"AGroupMayKeepMoreOrLessThanOthers", testGroupOptions},
		{"AGroupThatStoresNothingAcksAndBroadcasts", testTransient},
		{"AGroupMayKeepNoNames", testNameless},
		{"APurgedGroupIsEmptyAndItsUUIDsAreKnown", testPurge},
		{"APurgeDuringPublishingLosesNoLaterMessage", testPurgeDuringPublishing},
		{"AnInspectionTellsWhatAGroupKeeps", testInspection},
		{"StoredGroupsAreListedPageByPage", testStoredGroups},
		{"TheStoreTellsItsCondition", testCondition},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			test.run(contract{t, newOpener(t)})
		})
	}
}

// Room is a group that no other test uses.
func Room(tb testing.TB) group.Name {
	tb.Helper()
	return group.Name(fmt.Sprintf("/%s/%d", strings.ReplaceAll(tb.Name(), " ", "_"), time.Now().UnixNano()))
}

// Text is a data packet with that uuid.
func Text(uuid string) string {
	return fmt.Sprintf(`{"type":2,"uuid":%q,"body":{"data":"hello"}}`, uuid)
}

// numbered makes n uuids.
func numbered(n int) []string {
	uuids := make([]string, n)
	for i := range uuids {
		uuids[i] = fmt.Sprintf("u%04d", i)
	}
	return uuids
}

// Receipts is a history.Sender.
type Receipts chan<- history.Receipt

// Settle implements history.Sender.
func (c Receipts) Settle(r history.Receipt) { c <- r }

// submit hands a publication in and returns where its receipt will come.
func submit(s Store, p history.Publication) <-chan history.Receipt {
	answer := make(chan history.Receipt, 1)
	p.Deadline = time.Now().Add(10 * time.Second)
	p.From = Receipts(answer)
	s.Submit(&p)
	return answer
}

func message(g group.Name, uuid string) history.Publication {
	return history.Publication{Group: g, Kind: stream.Message, UUID: uuid, Payload: []byte(Text(uuid))}
}

// Wait receives from a channel, and fails if nothing comes for long.
func Wait[T any](tb testing.TB, ch <-chan T) T {
	tb.Helper()
	select {
	case v := <-ch:
		return v
	case <-time.After(20 * time.Second):
		tb.Fatal("waited for 20 s")
		panic("not reached")
	}
}

// fill stores messages with the uuids, all at once.
func fill(t *testing.T, s Store, g group.Name, uuids ...string) []history.Receipt {
	t.Helper()
	answers := make([]<-chan history.Receipt, len(uuids))
	for i, u := range uuids {
		answers[i] = submit(s, message(g, u))
	}
	receipts := make([]history.Receipt, len(uuids))
	for i, a := range answers {
		if receipts[i] = Wait(t, a); receipts[i].Err != nil {
			t.Fatalf("store %q: %v", uuids[i], receipts[i].Err)
		}
	}
	return receipts
}

func recall(t *testing.T, s Store, g group.Name, uuid string) {
	t.Helper()
	if err := s.Recall(t.Context(), g, uuid, history.Limit{}, stream.Author{}); err != nil {
		t.Fatalf("recall %q: %v", uuid, err)
	}
}

func read(t *testing.T, s Store, g group.Name, start history.Start) history.Batch {
	t.Helper()
	b, err := s.Read(t.Context(), g, start)
	if err != nil {
		t.Fatalf("read after %+v: %v", start, err)
	}
	return b
}

// readAll reads to the end of the stream. It fails unless every event follows
// the one before it for a consumer at the start, and the batches say truly
// where they end. gap is that of the first batch.
func readAll(t *testing.T, s Store, g group.Name, start history.Start) (events []stream.Event, end stream.Position, gap bool) {
	t.Helper()
	at := start.After
	for first := true; ; first = false {
		b := read(t, s, g, start)
		if first {
			gap = b.Gap
		} else if b.Gap {
			t.Fatalf("gap in the middle, after %+v", start.After)
		}
		if first && (b.Gap || start.AfterUUID != "" || at.Epoch == 0) {
			at = before(b)
		}
		if !first && len(b.Events) == 0 {
			t.Fatal("a batch that was announced is empty")
		}
		for _, e := range b.Events {
			if v := at.Next(b.Epoch, &e); v != stream.Follows {
				t.Fatalf("after %+v comes %+v: verdict %d", at, e, v)
			}
			events = append(events, e)
		}
		if diff := cmp.Diff(b.Position, at); diff != "" {
			t.Fatalf("position of the batch (-batch +counted):\n%s", diff)
		}
		if !b.More {
			return events, at, gap
		}
		start = history.Start{After: b.Position}
	}
}

// before is the place before the first event of a batch whose start the caller
// does not know as a position.
func before(b history.Batch) stream.Position {
	if len(b.Events) == 0 {
		return b.Position
	}
	p := stream.Position{Epoch: b.Epoch, Seq: b.Position.Seq, Changes: b.Position.Changes, Link: b.Events[0].Prev}
	for _, e := range b.Events {
		if e.Kind == stream.Recall {
			p.Changes--
		} else {
			p.Seq--
		}
	}
	return p
}

// page returns the uuids on a page, "?" for texts that are not ours.
func page(t *testing.T, s Store, g group.Name, q history.Query) ([]string, history.Page) {
	t.Helper()
	p, err := s.Page(t.Context(), g, q)
	if err != nil {
		t.Fatalf("page %+v: %v", q, err)
	}
	return uuids(p.Texts), p
}

func uuids(texts []string) []string {
	found := make([]string, 0, len(texts))
	for _, s := range texts {
		_, rest, ok := strings.Cut(s, `"uuid":"`)
		uuid, _, _ := strings.Cut(rest, `"`)
		if !ok {
			uuid = "?"
		}
		found = append(found, uuid)
	}
	return found
}

func reversed(s []string) []string {
	s = slices.Clone(s)
	slices.Reverse(s)
	return s
}

// ear hears one group's bus.
type ear struct {
	subscribed chan struct{}

	mu     sync.Mutex
	epoch  stream.Epoch
	events []stream.Event
	more   chan struct{}
}

// listen opens a store that hears groups, and waits until it does.
func listen(t *testing.T, open Opener, o Options, groups ...group.Name) (Store, *ears) {
	t.Helper()
	l := &ears{of: make(map[group.Name]*ear)}
	for _, g := range groups {
		l.of[g] = &ear{subscribed: make(chan struct{}, 100), more: make(chan struct{}, 1)}
	}
	s := open(t, o, l)
	s.Subscribe(groups...)
	for _, g := range groups {
		Wait(t, l.of[g].subscribed)
	}
	return s, l
}

// ears is a history.Listener.
type ears struct{ of map[group.Name]*ear }

func (l *ears) Subscribed(g group.Name) { l.of[g].subscribed <- struct{}{} }

func (l *ears) Heard(g group.Name, epoch stream.Epoch, events []stream.Event) {
	e := l.of[g]
	e.mu.Lock()
	defer e.mu.Unlock()
	if epoch != 0 {
		e.epoch = epoch
	}
	e.events = append(e.events, events...)
	select {
	case e.more <- struct{}{}:
	default:
	}
}

// heard waits until n events of g were heard, and returns them.
func (l *ears) heard(t *testing.T, g group.Name, n int) []stream.Event {
	t.Helper()
	e := l.of[g]
	for {
		e.mu.Lock()
		events := slices.Clone(e.events)
		e.mu.Unlock()
		if len(events) > n {
			t.Fatalf("heard %d events, want %d; the next one is %+v", len(events), n, events[n])
		}
		if len(events) == n {
			return events
		}
		Wait(t, e.more)
	}
}
