module github.com/gotapi/gotapi-ws/wire

go 1.26
