// Package clientaddr finds the address of the client that sent a request, also
// behind proxies: from the headers Forwarded and X-Forwarded-For, and from the PROXY
// protocol. Only proxies that the operator trusts are believed.
package clientaddr
