module github.com/gotapi/gotapi-ws/e2e

go 1.26.0

require (
	github.com/gotapi/gotapi-ws/proto v0.0.0
	github.com/gotapi/gotapi-ws/wire v0.0.0
)

require (
	github.com/gorilla/websocket v1.5.3 // indirect
	golang.org/x/sync v0.24.0 // indirect
)

replace (
	github.com/gotapi/gotapi-ws/proto => ../proto
	github.com/gotapi/gotapi-ws/wire => ../wire
)
