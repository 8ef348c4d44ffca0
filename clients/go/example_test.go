package gotapi_test

import (
	"context"
	"fmt"
	"log"
	"time"

	gotapi "github.com/gotapi/gotapi-ws/clients/go"
)

func ExampleClient_Publish() {
	client, err := gotapi.New("http://127.0.0.1:4998", gotapi.Options{})
	if err != nil {
		log.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	packet, uuid, err := gotapi.TextPacket("hello")
	if err != nil {
		log.Fatal(err) // not UTF-8
	}
	// It is sent again, if need be, and stored once.
	if _, err := client.Publish(ctx, "/room/9527/", packet); err != nil {
		log.Fatal(err)
	}
	// Everybody forgets it.
	if err := client.Recall(ctx, "/room/9527/", uuid); err != nil {
		log.Fatal(err)
	}
}

func ExamplePages() {
	client, err := gotapi.New("http://127.0.0.1:4998", gotapi.Options{})
	if err != nil {
		log.Fatal(err)
	}
	for page, err := range gotapi.Pages(context.Background(), client, "/room/9527/", gotapi.PageRequest{Size: 100}) {
		if err != nil {
			log.Fatal(err)
		}
		for _, packet := range page.Packets {
			fmt.Println(packet)
		}
	}
}

func ExampleClient_Join() {
	client, err := gotapi.New("wss://chat.example.com", gotapi.Options{Token: "secret"})
	if err != nil {
		log.Fatal(err)
	}
	member, err := client.Join("/room/9527/", gotapi.JoinOptions{})
	if err != nil {
		log.Fatal(err)
	}
	defer member.Close()
	for {
		event, err := member.Next(context.Background())
		if err != nil {
			log.Fatal(err) // the server does not want us
		}
		switch event.Kind {
		case gotapi.Message:
			fmt.Println(event.UUID, string(event.Data))
		case gotapi.Recalled:
			fmt.Println("forget", event.UUID)
		case gotapi.Gap:
			fmt.Println("read the history again:", event.Err)
		}
	}
}
