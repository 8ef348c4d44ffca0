module github.com/gotapi/gotapi-ws/services

go 1.26
