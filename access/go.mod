module github.com/gotapi/gotapi-ws/access

go 1.26.0

require (
	github.com/MicahParks/jwkset v0.11.4
	github.com/golang-jwt/jwt/v5 v5.3.1
	github.com/google/go-cmp v0.7.0
	github.com/gotapi/gotapi-ws/wire v0.0.0
	go.yaml.in/yaml/v3 v3.0.6
)

require golang.org/x/time v0.9.0 // indirect

replace github.com/gotapi/gotapi-ws/wire => ../wire
