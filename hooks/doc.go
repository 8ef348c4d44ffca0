// Package hooks calls an application's webhooks about packets: one decides before a
// packet is published (allow, deny, rewrite), one is notified afterwards.
//
// Before waits for the decision for a bounded time. It bounds how many requests run
// and how many packets wait. A caller waits for each packet, so its packets keep
// their order. If the webhook does not answer, the operator's choice holds: deny
// (nothing unchecked is published) or allow (the chat goes on).
//
// After never blocks. It is best effort: packets that do not fit its queue, or that
// cannot be delivered in a few tries, are dropped and counted. Applications that need
// every message read the archive or the history.
//
// Requests are signed as Standard Webhooks (https://www.standardwebhooks.com) asks:
// headers webhook-id, webhook-timestamp and webhook-signature, so that receivers can
// use its libraries. Package hooks does not know what carries packets.
package hooks
