// Command go joins a room, publishes a message and prints the history of the room.
// README.md shows it; a test runs it.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"time"

	gotapi "github.com/gotapi/gotapi-ws/clients/go"
)

func main() {
	url := flag.String("url", "http://127.0.0.1:4998", "URL of the server")
	flag.Parse()
	if err := run(*url); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(url string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	client, err := gotapi.New(url, gotapi.Options{})
	if err != nil {
		return err
	}
	room, err := client.Join("/room/9527/", gotapi.JoinOptions{})
	if err != nil {
		return err
	}
	defer room.Close()
	packet, uuid, err := gotapi.TextPacket("hello from Go")
	if err != nil {
		return err
	}
	if _, err := room.Publish(ctx, packet); err != nil { // returns once it is stored
		return err
	}
	fmt.Println("stored", uuid)
	page, err := client.History(ctx, "/room/9527/", gotapi.PageRequest{Size: 10})
	if err != nil {
		return err
	}
	for _, packet := range page.Packets {
		fmt.Println(packet)
	}
	return nil
}
