package redisconn

import (
	"fmt"
	"strconv"

	"github.com/gotapi/gotapi-ws/historysvc/internal/history"
)

// errReply comes of damaged keys, of which the script was not aware.
var errReply = fmt.Errorf("%w: a script's reply differs from its contract", history.ErrWrongType)

// Reply takes the reply of a script apart. After the last value, Err tells
// whether all were there and of the right type.
type Reply struct {
	values []any
	Err    error
}

// NewReply begins to read a reply. A single value is a list of one, nil an empty
// one.
func NewReply(v any) *Reply {
	switch v := v.(type) {
	case nil:
		return &Reply{}
	case []any:
		return &Reply{values: v}
	default:
		return &Reply{values: []any{v}}
	}
}

// Len is how many values are left.
func (r *Reply) Len() int { return len(r.values) }

// Nil reports whether the next value is there and nil.
func (r *Reply) Nil() bool { return len(r.values) > 0 && r.values[0] == nil }

func (r *Reply) fail(err error) {
	if r.Err == nil {
		r.Err = err
	}
}

func (r *Reply) next() any {
	if len(r.values) == 0 {
		r.fail(errReply)
		return nil
	}
	v := r.values[0]
	r.values = r.values[1:]
	return v
}

// Text reads a string.
func (r *Reply) Text() string {
	s, ok := r.next().(string)
	if !ok {
		r.fail(errReply)
	}
	return s
}

// Int reads a number, which a field of a hash is as a string.
func (r *Reply) Int() int64 {
	switch v := r.next().(type) {
	case int64:
		return v
	case string:
		n, err := strconv.ParseInt(v, 10, 64)
		if err != nil {
			r.fail(fmt.Errorf("%w: want a number: %w", errReply, err))
		}
		return n
	}
	r.fail(errReply)
	return 0
}

// Texts reads a list of strings.
func (r *Reply) Texts() []string {
	v, _ := r.next().([]any)
	return texts(v)
}

// Rest reads everything that is left, as strings.
func (r *Reply) Rest() []string {
	rest := texts(r.values)
	r.values = nil
	return rest
}

func texts(values []any) []string {
	all := make([]string, 0, len(values))
	for _, v := range values {
		s, _ := v.(string)
		all = append(all, s)
	}
	return all
}
