#!/usr/bin/env bash
# outsider.sh: what others get from this repository. It packs the working tree as
# a version of the module into a file-system proxy, and uses that version in
# empty directories: go install of the programs, and a program of its own that
# imports the Go client.
set -euo pipefail

module=github.com/gotapi/gotapi-ws
# The newest Go that others may need: the older of the two supported releases.
newest_go=1.26.0

version="v0.0.0-$(date -u +%Y%m%d%H%M%S)-$(git rev-parse --short=12 HEAD)"
root=$(git rev-parse --show-toplevel)
tmp=$(mktemp -d)
downloads="$(go env GOMODCACHE)/cache/download/$module/@v"
unpacked="$(go env GOMODCACHE)/$module@$version"
server=
clean_up() {
	[[ -z $server ]] || kill "$server" || true
	chmod -Rf u+w "$tmp" "$unpacked" || true
	rm -rf "$tmp" "$unpacked" "$downloads/$version".*
	sed -i "/^$version\$/d" "$downloads/list" || true
}
trap clean_up EXIT
fail() {
	echo "outsider: $*" >&2
	exit 1
}

cd "$root"
mkdir "$tmp/tree" "$tmp/program" "$tmp/elsewhere"
git ls-files -z --cached --others --exclude-standard |
	while IFS= read -r -d '' file; do [[ ! -e $file ]] || printf '%s\0' "$file"; done |
	tar --create --null --files-from - | tar --extract --directory "$tmp/tree"
(cd deploy/sbom && go run ./modproxy "$tmp/tree" "$version" "$tmp/proxy")

# An outsider: no workspace, this version from the proxy, all else as usual.
export GOWORK=off GOFLAGS=-modcacherw GONOSUMDB=$module GOTOOLCHAIN=local GOBIN="$tmp/bin"
GOPROXY="file://$tmp/proxy,$(go env GOPROXY)"
export GOPROXY

cd "$tmp/elsewhere"
go install "$module/cli/cmd/gotapi@$version"
go install "$module/standalone/cmd/gotapi-ws@$version"
[[ $("$GOBIN/gotapi" version) == *"$version"* ]] || fail "gotapi version does not say $version"
[[ $("$GOBIN/gotapi-ws" -version) == *"$version"* ]] || fail "gotapi-ws -version does not say $version"

cd "$tmp/program"
go mod init example.com/outsider 2>/dev/null
go mod edit -go=1.26
cat >main.go <<'EOF'
package main

import (
	"context"
	"fmt"
	"os"

	gotapi "github.com/gotapi/gotapi-ws/clients/go"
)

func main() {
	client, err := gotapi.New(os.Args[1], gotapi.Options{})
	if err != nil {
		panic(err)
	}
	page, err := client.History(context.Background(), "/outsider", gotapi.PageRequest{Size: 10})
	if err != nil {
		panic(err)
	}
	fmt.Println(page.Packets)
}
EOF
go get "$module@$version" 2>/dev/null
go mod tidy 2>/dev/null
go build -o "$GOBIN/outsider" .
needed=$(go list -m -f '{{.GoVersion}}' all | sort -V | tail -1)
[[ $(printf '%s\n' "$needed" "$newest_go" | sort -V | tail -1) == "$newest_go" ]] ||
	fail "needs Go $needed: others may have $newest_go"

"$GOBIN/gotapi-ws" -listen 127.0.0.1:0 -grpc-listen 127.0.0.1:0 >"$tmp/out" 2>"$tmp/log" &
server=$!
for ((i = 0; i < 100; i++)); do
	url=$(sed -n 's|^ *\(http://[^ ]*\) .*|\1|p' "$tmp/out")
	[[ -z $url ]] || break
	sleep 0.1
done
[[ -n $url ]] || fail "gotapi-ws does not start: $(cat "$tmp/log")"
uuid=$("$GOBIN/gotapi" pub --url "$url" /outsider 'hello from outside')
for reader in "gotapi history --json --url $url /outsider" "outsider $url"; do
	[[ $("$GOBIN"/$reader) == *"$uuid"*"hello from outside"* ]] || fail "${reader%% *} does not find the message"
done
echo "go install and go get of $module work: the programs run, the client needs Go $needed"
