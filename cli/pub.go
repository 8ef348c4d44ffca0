package cli

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"os"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/gotapi/gotapi-ws/cli/internal/terminal"
	gotapi "github.com/gotapi/gotapi-ws/clients/go"
	"github.com/gotapi/gotapi-ws/wire/packet"
)

// maxMessage bounds a message from standard input or a file, bytes. It is the highest
// -max-message-bytes of a server.
const maxMessage = 1 << 20

// pubFlags are those of `gotapi pub`.
type pubFlags struct {
	files    []string
	uuid     string
	body     bool
	raw      bool
	inFlight int
	batch    string
}

func (a *app) pub() *cobra.Command {
	var f pubFlags
	c := &cobra.Command{
		Use:   "pub GROUP [MESSAGE...] [flags]",
		Short: "Publish messages and wait until they are stored",
		Long: "Publishes each MESSAGE, or each line of standard input if there are none. A message becomes\n" +
			`{"type":2,"uuid":U,"body":{"data":MESSAGE}} with a new uuid. It is sent again with the same` + "\n" +
			"uuid until it is stored or refused, or --timeout is over.\n\n" +
			"The uuids of stored messages go to standard output. If a uuid was stored before, standard\n" +
			"error says so, except over ws, whose acks do not report it. The first message that fails\n" +
			"ends the command. A message that is not UTF-8 or begins with a byte order mark fails with\n" +
			"exit code 2.\n\n" +
			"With --batch, each line of a file holds a packet and its groups (docs/protocol.md, section\n" +
			"3.1). The lines of a group keep their order. A request takes up to 1000 packets. The command\n" +
			"ends after the request with the first line that fails.",
		Example: "  gotapi pub /room/9527/ 'hello world'\n" +
			"  tail -f app.log | gotapi pub /logs/app\n" +
			"  gotapi pub /room/9527/ --body '{\"data\":\"hi\",\"sent\":false}'\n" +
			"  echo '{\"groups\":[\"/a\",\"/b\"],\"packet\":\"hello\"}' | gotapi pub --batch -",
		Args: func(cmd *cobra.Command, args []string) error {
			if f.batch != "" {
				return between(0, 0)(cmd, args)
			}
			return between(1, -1, groupArgument)(cmd, args)
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if f.batch != "" {
				if err := f.validateBatch(); err != nil {
					return err
				}
				return a.runBatch(cmd.Context(), f.batch)
			}
			return a.runPub(cmd.Context(), f, args[0], args[1:])
		},
	}
	c.Flags().StringArrayVarP(&f.files, "file", "f", nil, "publish the file at `path` as one message; may be repeated")
	c.Flags().StringVar(&f.uuid, "uuid", "", "uuid of the message, if there is only one")
	c.Flags().BoolVar(&f.body, "body", false, "take each message as the whole body, a JSON object")
	c.Flags().BoolVar(&f.raw, "raw", false, "take each message as the whole packet, and send it unchanged")
	c.Flags().IntVar(&f.inFlight, "in-flight", 1, "most messages that wait for their acks; above 1, messages may be stored in another order")
	c.Flags().StringVar(&f.batch, "batch", "", "publish the lines of the file at `path` (-: standard input), each as {\"group\":G,\"packet\":P}")
	return c
}

// validateBatch checks the flags beside --batch.
func (f *pubFlags) validateBatch() error {
	if len(f.files) > 0 || f.uuid != "" || f.body || f.raw || f.inFlight != 1 {
		return usagef("--batch cannot be combined with other flags of pub: its lines hold whole packets")
	}
	return nil
}

func (f *pubFlags) validate(messages []string) error {
	switch {
	case f.body && f.raw:
		return usagef("--body and --raw cannot be combined")
	case f.uuid != "" && f.raw:
		return usagef("--uuid and --raw cannot be combined: a raw packet has its own uuid")
	case f.uuid != "" && len(messages)+len(f.files) != 1:
		return usagef("--uuid needs exactly one MESSAGE or --file")
	case f.inFlight < 1 || f.inFlight > 1000:
		return usagef("--in-flight: must be 1 to 1000")
	}
	return nil
}

func (a *app) runPub(ctx context.Context, f pubFlags, group string, messages []string) error {
	if err := f.validate(messages); err != nil {
		return err
	}
	s, err := a.connect()
	if err != nil {
		return err
	}
	defer s.close()
	to, err := s.publisher(group)
	if err != nil {
		return err
	}
	defer to.Close()
	p := &publishing{app: a, flags: f, group: group, to: to, printer: a.printer(), began: time.Now()}
	err = p.all(ctx, func(ctx context.Context) iter.Seq2[[]byte, error] { return a.messages(ctx, f, messages) })
	p.printer.progress.Clear()
	if ctx.Err() != nil {
		p.printer.note(terminal.Yellow, "interrupted after %d published", p.done.Load())
		return reportedError{errInterrupted}
	}
	return err
}

// messages yields the messages to publish: arguments, files, or lines.
func (a *app) messages(ctx context.Context, f pubFlags, messages []string) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		for _, m := range messages {
			if !yield([]byte(m), nil) {
				return
			}
		}
		for _, path := range f.files {
			b, err := readMessage(path)
			if err != nil {
				err = inputError{err}
			}
			if !yield(b, err) {
				return
			}
		}
		if len(messages)+len(f.files) == 0 {
			for line, err := range lines(ctx, a.In) {
				if !yield(line, err) {
					return
				}
			}
		}
	}
}

// readMessage reads a file that is one message.
func readMessage(path string) ([]byte, error) {
	f, err := os.Open(path) //nolint:gosec // the user names the file
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxMessage+1))
	if err == nil && len(b) > maxMessage {
		err = fmt.Errorf("%s: larger than any server accepts (%d bytes)", path, maxMessage)
	}
	return b, err
}

// lines yields the lines of r until ctx ends. Nothing can interrupt a read that waits for
// a person: its goroutine ends with the process, or with the next line.
func lines(ctx context.Context, r io.Reader) iter.Seq2[[]byte, error] {
	type line struct {
		text []byte
		err  error
	}
	return func(yield func([]byte, error) bool) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		read := make(chan line)
		go func() {
			defer close(read)
			scan := bufio.NewScanner(r)
			scan.Buffer(nil, maxMessage)
			for scan.Scan() {
				select {
				case read <- line{text: bytes.Clone(scan.Bytes())}:
				case <-ctx.Done():
					return
				}
			}
			if err := scan.Err(); err != nil {
				select {
				case read <- line{err: fmt.Errorf("standard input: %w", err)}:
				case <-ctx.Done():
				}
			}
		}()
		for {
			select {
			case l, more := <-read:
				if !more || !yield(l.text, l.err) {
					return
				}
			case <-ctx.Done():
				return
			}
		}
	}
}

// publishing is one run of `gotapi pub`.
type publishing struct {
	app     *app
	flags   pubFlags
	group   string
	to      publisher
	printer *printer
	began   time.Time
	done    atomic.Int64
}

// all publishes the messages. The first that fails ends the context of messages, so that
// all does not wait for the next line.
func (p *publishing) all(ctx context.Context, messages func(context.Context) iter.Seq2[[]byte, error]) error {
	work, ctx := errgroup.WithContext(ctx)
	work.SetLimit(p.flags.inFlight)
	results := make(chan func() error)
	printed := make(chan error, 1)
	go func() { // one goroutine writes, so that lines stay whole
		var first error
		for write := range results {
			if err := write(); err != nil && first == nil {
				first = err
			}
		}
		printed <- first
	}()
	var bad error
	for message, err := range messages(ctx) {
		var data []byte
		if err == nil {
			data, err = p.packet(message)
		}
		if err != nil {
			bad = err
			break
		}
		if ctx.Err() != nil {
			break
		}
		work.Go(func() error { return p.one(ctx, data, results) })
	}
	err := work.Wait()
	close(results)
	return cmp.Or(err, bad, <-printed)
}

// packet makes a packet of a message.
func (p *publishing) packet(message []byte) ([]byte, error) {
	if p.flags.raw {
		return message, nil
	}
	if err := checkText(message); err != nil {
		return nil, inputError{err}
	}
	uuid := cmp.Or(p.flags.uuid, gotapi.NewUUID())
	var body any = struct {
		Data string `json:"data"`
	}{string(message)}
	if p.flags.body {
		var object map[string]json.RawMessage
		if err := json.Unmarshal(message, &object); err != nil || object == nil {
			return nil, inputf("--body: %.80q is not a JSON object", message)
		}
		body = json.RawMessage(message)
	}
	data, err := gotapi.DataPacket(uuid, body)
	if err != nil {
		return nil, inputError{err}
	}
	return data, nil
}

// checkText refuses a message that is not UTF-8 text, which JSON would change.
func checkText(message []byte) error {
	const advice = "; convert it to UTF-8, or send it unchanged with --raw"
	switch {
	case bytes.HasPrefix(message, []byte("\xef\xbb\xbf")), bytes.HasPrefix(message, []byte("\xff\xfe")), bytes.HasPrefix(message, []byte("\xfe\xff")):
		return fmt.Errorf("message %.20q begins with a byte order mark%s", message, advice)
	case bytes.IndexByte(message, 0) >= 0:
		return fmt.Errorf("message %.20q has NUL bytes, as UTF-16 does%s", message, advice)
	case !utf8.Valid(message):
		return fmt.Errorf("message %.20q is not UTF-8%s", message, advice)
	}
	return nil
}

// published is what --json writes of a packet.
type published struct {
	Group     string  `json:"group"`
	UUID      string  `json:"uuid,omitempty"`
	Stored    bool    `json:"stored"`
	Duplicate bool    `json:"duplicate"`
	Millis    float64 `json:"ms"`
}

// one publishes a packet and passes on a function that writes its result.
func (p *publishing) one(ctx context.Context, data []byte, results chan<- func() error) error {
	began := time.Now()
	limited, cancel := p.app.limited(ctx)
	defer cancel()
	answer, err := p.to.Publish(limited, data)
	if err != nil {
		if uuid := packet.Classify(data).UUID; uuid != "" {
			return fmt.Errorf("message %s: %w", uuid, err)
		}
		return err
	}
	took := time.Since(began)
	n := p.done.Add(1)
	results <- func() error {
		defer p.printer.progress.Show(func() string {
			return fmt.Sprintf("%d published, %.0f/s", n, float64(n)/time.Since(p.began).Seconds())
		})
		if p.printer.asJSON {
			return p.printer.json(published{p.group, answer.UUID, answer.Stored, answer.Duplicate, float64(took.Microseconds()) / 1000})
		}
		if answer.UUID == "" {
			return nil
		}
		if answer.Duplicate {
			p.printer.note(terminal.Yellow, "%s was stored before: this message was not published, and the earlier one stays", answer.UUID)
		}
		return p.printer.line(terminal.Printable(answer.UUID))
	}
	return nil
}
