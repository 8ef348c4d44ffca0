// Package hooks lets an application have its say about what is published: a
// webhook that is asked before (allow, deny, rewrite), and one that is told
// afterwards.
//
// Before waits for the answer, within a bounded time, and bounds how many ask and
// how many wait for their turn. Whoever publishes one packet after another gets
// them out in that order, since it waits for each. What happens when the webhook
// does not answer is the operator's to choose: deny (nothing gets out that was not
// looked at) or allow (the chat goes on).
//
// After never blocks. It is best effort: what does not fit its queue, or cannot be
// delivered in a few tries, is dropped and counted. Who needs every message reads
// the archive or the history.
//
// Requests are signed as Standard Webhooks (https://www.standardwebhooks.com) asks:
// headers webhook-id, webhook-timestamp and webhook-signature, so that receivers can
// use its libraries. Package hooks does not know what carries packets.
package hooks
