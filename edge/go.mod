module github.com/gotapi/gotapi-ws/edge

go 1.26

require (
	github.com/gotapi/gotapi-ws/proto v0.0.0
	github.com/gotapi/gotapi-ws/wire v0.0.0
	github.com/gotapi/gotapi-ws/services v0.0.0
)

replace (
	github.com/gotapi/gotapi-ws/proto => ../proto
	github.com/gotapi/gotapi-ws/wire => ../wire
	github.com/gotapi/gotapi-ws/services => ../services
)
