// Command openapi is a plugin of buf: protoc-gen-openapiv2, and what HTTP does not
// have of the interface stays out of the document. That tool makes a query parameter
// of each field of a request, and a key of each field of an answer.
package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"

	"google.golang.org/genproto/googleapis/api/visibility"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/pluginpb"
)

// generator is looked for in the PATH.
const generator = "protoc-gen-openapiv2"

// grpcOnly are the fields that HTTP does not have: for some it has headers and a status.
var grpcOnly = map[string][]string{
	"GetHistoryRequest":  {"after", "if_none_match"},
	"GetHistoryResponse": {"etag", "not_modified"},
}

func main() {
	if err := run(os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "openapi:", err)
		os.Exit(1)
	}
}

// run hands a CodeGeneratorRequest on, in which those fields are marked as
// invisible, and the generator's answer back.
func run(in io.Reader, out io.Writer) error {
	b, err := io.ReadAll(in)
	if err != nil {
		return err
	}
	var request pluginpb.CodeGeneratorRequest
	if err := proto.Unmarshal(b, &request); err != nil {
		return err
	}
	for _, file := range request.GetProtoFile() {
		for _, message := range file.GetMessageType() {
			hide(message, grpcOnly[message.GetName()])
		}
	}
	if b, err = proto.Marshal(&request); err != nil {
		return err
	}
	cmd := exec.CommandContext(context.Background(), generator) // buf ends it, and us
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(b), out, os.Stderr
	return cmd.Run()
}

// hide restricts fields of a message to readers of whom there are none.
func hide(message *descriptorpb.DescriptorProto, fields []string) {
	for _, field := range message.GetField() {
		if !slices.Contains(fields, field.GetName()) {
			continue
		}
		if field.Options == nil {
			field.Options = &descriptorpb.FieldOptions{}
		}
		proto.SetExtension(field.Options, visibility.E_FieldVisibility, &visibility.VisibilityRule{Restriction: "GRPC"})
	}
}
