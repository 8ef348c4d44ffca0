module github.com/gotapi/gotapi-ws/edge

go 1.26.0

require (
	github.com/gotapi/gotapi-ws/proto v0.0.0
	github.com/gotapi/gotapi-ws/services v0.0.0
	github.com/gotapi/gotapi-ws/wire v0.0.0
)

require (
	github.com/google/go-cmp v0.7.0 // indirect
	github.com/gorilla/websocket v1.5.3 // indirect
	github.com/grpc-ecosystem/grpc-gateway/v2 v2.33.0 // indirect
	github.com/prometheus/client_golang v1.25.0 // indirect
	github.com/rs/cors v1.11.1 // indirect
	golang.org/x/net v0.61.0 // indirect
	golang.org/x/sync v0.24.0 // indirect
	golang.org/x/sys v0.49.0 // indirect
	golang.org/x/text v0.43.0 // indirect
	google.golang.org/genproto/googleapis/rpc v0.0.0-20261019180522-ce908d29299b // indirect
	google.golang.org/grpc v1.85.0 // indirect
	google.golang.org/protobuf v1.36.12 // indirect
)

replace (
	github.com/gotapi/gotapi-ws/proto => ../proto
	github.com/gotapi/gotapi-ws/services => ../services
	github.com/gotapi/gotapi-ws/wire => ../wire
)
