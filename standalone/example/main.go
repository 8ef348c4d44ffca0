// Command example publishes a message to a room over gRPC and prints what the
// room keeps. README.md shows it; a test runs it.
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	historyv1 "github.com/gotapi/gotapi-ws/proto/gen/gotapi/history/v1"
)

func main() {
	addr := flag.String("grpc", "127.0.0.1:5998", "address of the history service")
	flag.Parse()
	if err := run(*addr); err != nil {
		log.Fatal(err)
	}
}

func run(addr string) error {
	conn, err := grpc.NewClient(addr, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return err
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()

	history := historyv1.NewHistoryServiceClient(conn)
	published, err := history.Publish(ctx, &historyv1.PublishRequest{
		GroupName: "/room/9527/",
		Packet:    []byte(`{"type":2,"uuid":"from-go-1","body":{"data":"hello from Go"}}`),
	})
	if err != nil {
		return err
	}
	// Sent again with the same uuid, after a timeout say, it is not stored twice.
	fmt.Println("stored:", published.GetStored(), "duplicate:", published.GetDuplicate())

	page, err := history.GetHistory(ctx, &historyv1.GetHistoryRequest{GroupName: "/room/9527/"})
	if err != nil {
		return err
	}
	for _, packet := range page.GetData() {
		fmt.Println(packet)
	}
	return nil
}
