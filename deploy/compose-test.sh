#!/usr/bin/env bash
# Proves docker-compose.yml with a real Docker engine: builds the images, brings
# everything up, runs the commands of the README, scales, restarts, stops Redis,
# puts TLS, Redis Cluster and Prometheus around it, and takes everything down.
#
# If an engine answers, it is used as it is, with the official base images.
# Otherwise the script (as root, on Debian) starts one with a data folder of its
# own, with base images made from this machine's programs: nothing is pulled.
set -Eeuo pipefail
cd "$(dirname "$0")/.."
. scripts/packages.sh

export PORT=${PORT:-4998} VERSION=compose-test
project=gotapi-test-$$
export COMPOSE_PROJECT_NAME=$project
work=$(mktemp -d)
engine=

say() { echo "compose-test: $*"; }
fail() {
	trap - ERR
	say "FAILED: $*" >&2
	compose ps >&2 || true
	compose logs --no-color --tail=40 >&2 || true
	[ -z "$engine" ] || tail -n 40 "$work/dockerd.log" >&2
	exit 1
}

# ---- the engine

start_engine() {
	local missing=()
	for need in dockerd:docker.io docker-compose:docker-compose redis-server:redis-server haproxy:haproxy prometheus:prometheus openssl:openssl curl:curl; do
		command -v "${need%%:*}" >/dev/null || missing+=("${need##*:}")
	done
	# RUNLEVEL=1 keeps packages from starting their services.
	[ ${#missing[@]} -eq 0 ] || RUNLEVEL=1 install_packages 'without a Docker engine, the tests' "${missing[@]}"

	export DOCKER_HOST=unix://$work/docker.sock
	# Its packet filter and bridge would stay when it has ended, and every packet of this
	# machine, also on loopback, would go through connection tracking from then on.
	dockerd --data-root "$work/data" --exec-root "$work/exec" --pidfile "$work/dockerd.pid" \
		--iptables=false --ip6tables=false --bridge=none \
		-H "$DOCKER_HOST" >"$work/dockerd.log" 2>&1 </dev/null &
	engine=$!
	for _ in $(seq 100); do
		docker version >/dev/null 2>&1 && break
		kill -0 "$engine" 2>/dev/null || { tail -20 "$work/dockerd.log" >&2; say "dockerd does not start" >&2; exit 1; }
		sleep 0.2
	done
	say "started $(docker version --format 'engine {{.Server.Version}}')"
	deploy/local-images.sh redis redis:7-alpine
	deploy/local-images.sh haproxy haproxy:2.6-alpine
	deploy/local-images.sh golang golang:1.26-bookworm
	deploy/local-images.sh prometheus prom/prometheus:v2.55.1
}

# The compose files in use; the variants add theirs.
files=(-f docker-compose.yml)

compose() {
	if command -v docker-compose >/dev/null; then docker-compose "${files[@]}" "$@"; else docker compose "${files[@]}" "$@"; fi
}

clean_up() {
	trap - EXIT INT TERM ERR
	jobs -p | grep -vx "${engine:-none}" | xargs -r kill 2>/dev/null || true
	for COMPOSE_PROJECT_NAME in "$project-variants" "$project"; do
		compose down --volumes --timeout 10 >/dev/null 2>&1 || true
	done
	docker rmi "gotapi/edge:$VERSION" "gotapi/historysvc:$VERSION" >/dev/null 2>&1 || true
	if [ -n "$engine" ]; then
		kill "$engine" 2>/dev/null || true
		wait "$engine" 2>/dev/null || true
	fi
	# Unmounts come late sometimes.
	rm -rf "$work" 2>/dev/null || { sleep 2; rm -rf "$work"; }
}

# ---- what is checked

url=http://127.0.0.1:$PORT

# until_true SECONDS WHAT COMMAND...: tries the command until it succeeds.
until_true() {
	local deadline=$((SECONDS + $1)) what=$2
	shift 2
	until "$@" >/dev/null 2>&1; do
		[ $SECONDS -lt $deadline ] || fail "$what"
		sleep 0.2
	done
}

serves() { [ "$(curl -sf --max-time 2 "$url/__status")" = 'status ok!' ]; }
publishes() { [[ $(curl -sf --max-time 8 -d "$2" "$url$1") == *'"code":200'* ]]; }
history() { curl -sf --max-time 8 -X POST -d "groupName=$1&position=0&size=1000" "$url/__/history"; }
in_history() { [[ $(history "$1") == *"$2"* ]]; }

# expect WHAT TEXT OUTPUT
expect() {
	case $3 in
	*"$2"*) say "ok: $1" ;;
	*) fail "$1: got $3, want $2" ;;
	esac
}

# member FILE GROUP: a WebSocket member that writes what it receives to FILE.
# A server's text frames are two to ten bytes and then the text itself.
member() {
	curl -sN --max-time 60 -o "$1" -H 'Connection: Upgrade' -H 'Upgrade: websocket' \
		-H 'Sec-WebSocket-Version: 13' -H 'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==' "$url$2" &
}

received() { grep -aqF "$2" "$1"; }

# commands: the literal ones that the README promises, but for the port.
commands() {
	member "$work/told" /room/9527/
	# The member is there once it hears what is said.
	until_true 20 'a member hears the group' hears "$work/told" /room/9527/
	expect 'publish' '{"code":200,"group":"/room/9527/","stored":true' \
		"$(curl -s -X POST -d '{"type":2,"uuid":"thisisuuid","body":{"hash":"hello1234","data":"hello world","sent":false}}' "$url/room/9527/")"
	expect 'history' '{"code":200,"position":-50,"msg":"","data":["{\"type\":2,\"uuid\":\"thisisuuid\",' \
		"$(curl -s -X POST -d 'groupName=/room/9527/&position=-50&size=50' "$url/__/history")"
	expect 'recall' '{"code":200' "$(curl -s -X POST -d 'groupName=/room/9527/&uuid=thisisuuid' "$url/__/cancel")"
	expect 'history after the recall' '"data":[]' "$(history /room/9527/)"
	until_true 10 'the member got the message' received "$work/told" '"hash":"hello1234"'
	until_true 10 'the member was told of the recall' received "$work/told" '{"type":1,"command":6,"uuid":"thisisuuid"}'
	say 'ok: the member got the message and the recall'
}

hears() {
	publishes "$2" 'knock knock' && sleep 0.2 && received "$1" 'knock knock'
}

# edges_with_members prints how many edges have an open connection on their port.
edges_with_members() {
	local count=0 id pid
	for id in $(compose ps -q edge); do
		pid=$(docker inspect -f '{{.State.Pid}}' "$id")
		# Local port 4998 is 1386 in hex; state 01 is "established".
		cat "/proc/$pid/net/tcp" "/proc/$pid/net/tcp6" | awk '$2 ~ /:1386$/ && $4 == "01" {found = 1} END {exit !found}' &&
			count=$((count + 1))
	done
	echo $count
}

scaled() {
	compose up -d --no-recreate --scale edge=2 --scale historysvc=2 || fail 'docker-compose up --scale'
	[ "$(compose ps -q edge | wc -l)" -eq 2 ] && [ "$(compose ps -q historysvc | wc -l)" -eq 2 ] || fail 'not two of each'
	until_true 60 'both edges are healthy' both_healthy
	# Until the balancer has heard of the second edge, all members land on the first.
	local i
	for i in $(seq 20); do
		member "$work/scaled$i" /scaled
		sleep 0.2
	done
	# Only a local engine's processes can be looked at.
	local edges='an unknown number of'
	if [ -n "$engine" ]; then
		edges=$(edges_with_members)
		[ "$edges" -eq 2 ] || fail "the members are on $edges edges, not on two"
	fi
	for i in $(seq 20); do until_true 20 "member $i hears the group" hears "$work/scaled$i" /scaled; done
	publishes /scaled '{"type":2,"uuid":"to-all","body":{"data":1}}' || fail 'publish with two of each'
	for i in $(seq 20); do until_true 10 "member $i of 20 got it" received "$work/scaled$i" '"uuid":"to-all"'; done
	say "ok: two edges, two history services: 20 members on $edges edges got the message"
}

both_healthy() {
	local id
	for id in $(compose ps -q edge) $(compose ps -q historysvc); do
		[ "$(docker inspect -f '{{.State.Health.Status}}' "$id")" = healthy ] || return 1
	done
}

restarted() {
	publishes /kept '{"type":2,"uuid":"kept","body":{"data":"survives"}}' || fail 'publish before the restart'
	# Redis writes its file once a second.
	sleep 2
	compose restart --timeout 20
	until_true 60 'serves after the restart' serves
	until_true 60 'the history is there after the restart' in_history /kept survives
	until_true 60 'publish after the restart' publishes /kept '{"type":2,"uuid":"after","body":{"data":"works"}}'
	say 'ok: restart of everything: the history is kept, and it works on'
}

redis_away() {
	compose stop --timeout 20 redis
	expect 'without Redis a publish is refused' '"code":50' \
		"$(curl -s --max-time 20 -d '{"type":2,"uuid":"refused","body":{}}' "$url/kept")"
	compose start redis
	until_true 60 'works when Redis is back' publishes /kept '{"type":2,"uuid":"back","body":{"data":"back"}}'
	in_history /kept survives || fail 'the history is not there after Redis came back'
	say 'ok: Redis away and back: nothing acked is missing, no restart needed'
}

hardened() {
	local id
	for id in $(compose ps -q); do
		expect "$(docker inspect -f '{{.Name}}' "$id"): read-only root, not root, memory limit" 'true false true' \
			"$(docker inspect -f '{{.HostConfig.ReadonlyRootfs}} {{eq .Config.User ""}} {{gt .HostConfig.Memory 0}}' "$id")"
	done
}

# variants: TLS in front, Redis Cluster behind, and Prometheus, all at once, from
# nothing. (Grafana is no Debian package: its files are checked by make test-deploy.)
variants() {
	# Under a name of their own, beside the network of what ran until now: Docker's engine
	# (seen with 20.10) miscounts a network's endpoints, about once in thirty times when
	# several containers start and stop at once, and refuses to remove it from then on,
	# although nothing uses it (moby issues 42119 and 43286).
	compose stop --timeout 10
	compose rm --force -v
	COMPOSE_PROJECT_NAME=$project-variants
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 1 -subj /CN=localhost \
		-addext subjectAltName=DNS:localhost,IP:127.0.0.1 -keyout "$work/key.pem" -out "$work/cert.pem"
	cat "$work/cert.pem" "$work/key.pem" >"$work/server.pem"
	chmod 755 "$work"
	chmod 644 "$work/server.pem"
	export TLS_CERT=$work/server.pem GRAFANA_PASSWORD=not-used
	files+=(-f deploy/compose/tls.yml -f deploy/compose/redis-cluster.yml -f deploy/compose/observability.yml)
	local services
	mapfile -t services < <(compose config --services | grep -vx grafana)
	compose up -d --no-build "${services[@]}" || fail 'docker-compose up with all variants'
	url=https://127.0.0.1:${TLS_PORT:-8443}
	export CURL_CA_BUNDLE=$work/cert.pem
	until_true 90 'serves over TLS' serves
	until_true 60 'publishes over TLS, into the cluster' publishes /secure '{"type":2,"uuid":"secure","body":{"data":"over TLS"}}'
	expect 'history over TLS' 'over TLS' "$(history /secure)"
	expect 'plain HTTP is redirected' "308 $url/secure" \
		"$(curl -s -o /dev/null -w '%{http_code} %{redirect_url}' "http://127.0.0.1:${REDIRECT_PORT:-8080}/secure")"
	member "$work/secure" /secure
	until_true 20 'a member over TLS hears the group' hears "$work/secure" /secure
	say 'ok: a member over TLS hears the group'
	expect 'the cluster has three masters' 'cluster_size:3' "$(compose exec -T redis redis-cli cluster info)"
	until_true 60 'Prometheus sees edge and history service' both_scraped
	say 'ok: Prometheus scrapes both, and its rules are loaded'
}

both_scraped() {
	local up rules
	up=$(curl -sf --max-time 5 'http://127.0.0.1:9090/api/v1/query?query=sum(up)')
	rules=$(curl -sf --max-time 5 'http://127.0.0.1:9090/api/v1/rules')
	[[ $up == *'"2"]'* && $rules == *GotapiRedisDown* ]]
}

# ---- the test

trap 'exit 130' INT TERM
trap clean_up EXIT
# A command in "$(...)" is judged by what it printed, or by the command around it.
trap '[ "$BASH_SUBSHELL" -gt 0 ] || fail "line $LINENO: $BASH_COMMAND"' ERR
if docker info >/dev/null 2>&1; then
	say 'using the engine that is here'
else
	start_engine
fi
say "docker-compose $(compose version --short)"
say 'building the images'
compose build >"$work/build.log" 2>&1 || { tail -40 "$work/build.log" >&2; fail 'docker-compose build'; }
say 'starting everything'
compose up -d || fail 'docker-compose up'
until_true 90 "serves on port $PORT" serves
commands
hardened
scaled
restarted
redis_away
variants
say 'PASS'
