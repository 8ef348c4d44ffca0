package token_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"

	"github.com/gotapi/gotapi-ws/clients/go/internal/token"
)

var errRefused = errors.New("refused")

func isRefused(err error) bool { return errors.Is(err, errRefused) }

func TestASourceIsAskedOnceAndAgainWhenItsTokenIsNotAccepted(t *testing.T) {
	var asked []string
	tokens := token.New("", func(_ context.Context, why token.Reason) (string, error) {
		asked = append(asked, why.String())
		return string(rune('a' + len(asked) - 1)), nil
	})
	var tried []string
	use := func(refused ...string) error {
		return tokens.Use(t.Context(), isRefused, func(text string) error {
			tried = append(tried, text)
			if slices.Contains(refused, text) {
				return errRefused
			}
			return nil
		})
	}
	for _, refused := range [][]string{nil, nil, {"a"}} {
		if err := use(refused...); err != nil {
			t.Errorf("refused %q: %v", refused, err)
		}
	}
	tokens.Reject("a", token.Expired) // an old one: nothing is wrong with b
	if err := use(); err != nil {
		t.Error(err)
	}
	tokens.Reject("b", token.Expired)
	if err := use("c", "d"); !isRefused(err) {
		t.Errorf("two refusals: %v, want the second", err)
	}
	if diff := cmp.Diff([]string{"first", "refused", "expired", "refused"}, asked); diff != "" {
		t.Errorf("asked (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"a", "a", "a", "b", "b", "c", "d"}, tried); diff != "" {
		t.Errorf("tried (-want +got):\n%s", diff)
	}
}

func TestTheSameTokenIsNotTriedTwice(t *testing.T) {
	for name, tokens := range map[string]*token.Tokens{
		"fixed":  token.New("a", nil),
		"source": token.New("", func(context.Context, token.Reason) (string, error) { return "a", nil }),
	} {
		tries := 0
		err := tokens.Use(t.Context(), isRefused, func(string) error { tries++; return errRefused })
		if tries != 1 || !isRefused(err) {
			t.Errorf("%s: %d tries and %v, want 1 and the refusal", name, tries, err)
		}
	}
}

func TestASourceThatFailsIsAskedAgain(t *testing.T) {
	calls := 0
	tokens := token.New("", func(context.Context, token.Reason) (string, error) {
		calls++
		if calls == 1 {
			return "", errors.New("no route to the identity service")
		}
		return "a", nil
	})
	if _, err := tokens.Current(t.Context()); err == nil || err.Error() != "token: no route to the identity service" {
		t.Errorf("got %v", err)
	}
	if text, err := tokens.Current(t.Context()); text != "a" || err != nil {
		t.Errorf("got %q, %v", text, err)
	}
}

func TestConcurrentCallersWaitForOneCallOfTheSource(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		answer := make(chan string)
		calls := 0
		tokens := token.New("", func(ctx context.Context, _ token.Reason) (string, error) {
			calls++
			select {
			case text := <-answer:
				return text, nil
			case <-ctx.Done():
				return "", ctx.Err()
			}
		})
		var callers sync.WaitGroup
		for range 10 {
			callers.Go(func() {
				if text, err := tokens.Current(t.Context()); text != "a" || err != nil {
					t.Errorf("got %q, %v", text, err)
				}
			})
		}
		synctest.Wait()
		impatient, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := tokens.Current(impatient); !errors.Is(err, context.Canceled) {
			t.Errorf("a caller that has left: %v", err)
		}
		answer <- "a"
		callers.Wait()
		if calls != 1 {
			t.Errorf("%d calls, want 1", calls)
		}
	})
}

func TestASourceThatHangsIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tokens := token.New("", func(ctx context.Context, _ token.Reason) (string, error) {
			<-ctx.Done()
			return "", ctx.Err()
		})
		if _, err := tokens.Current(t.Context()); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
	})
}
