// Package grpcstatus makes the statuses that callers of gRPC get: each with its reason
// as a google.rpc.ErrorInfo, and those that pass by waiting with a google.rpc.RetryInfo.
package grpcstatus

import (
	"cmp"
	"errors"
	"net/http"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/protoadapt"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/gotapi/gotapi-ws/access"
)

// Domain is the domain of every ErrorInfo of ours. A status that has it comes from the
// server, not from gRPC on the way.
const Domain = "gotapi"

// RetryDelay is the time after which callers should try again.
const RetryDelay = time.Second

// Error returns a status with a reason, and with details.
func Error(code codes.Code, reason, msg string, details ...protoadapt.MessageV1) error {
	s := status.New(code, msg)
	details = append(details, &errdetails.ErrorInfo{Reason: reason, Domain: Domain})
	if code == codes.ResourceExhausted || code == codes.Unavailable {
		details = append(details, &errdetails.RetryInfo{RetryDelay: durationpb.New(RetryDelay)})
	}
	detailed, err := s.WithDetails(details...)
	if err != nil { // only with codes.OK
		return s.Err()
	}
	return detailed.Err()
}

// Busy returns the status of a request that is one too many for now.
func Busy(reason, msg string) error { return Error(codes.ResourceExhausted, reason, msg) }

// deniedCodes are the codes of a DeniedError, by its HTTP status.
var deniedCodes = map[int]codes.Code{
	http.StatusBadRequest:         codes.InvalidArgument,
	http.StatusUnauthorized:       codes.Unauthenticated,
	http.StatusForbidden:          codes.PermissionDenied,
	http.StatusTooManyRequests:    codes.ResourceExhausted,
	http.StatusServiceUnavailable: codes.Unavailable,
}

// Of returns the gRPC status of an *access.DeniedError, and any other error as it is.
// A refusal of an unknown kind is PermissionDenied.
func Of(err error) error {
	var denied *access.DeniedError
	if !errors.As(err, &denied) {
		return err
	}
	code, ok := deniedCodes[denied.Status]
	if !ok {
		code = codes.PermissionDenied
	}
	return Error(code, string(cmp.Or(denied.Reason, access.NoRight)), denied.Msg)
}

// InfoOf returns the ErrorInfo of a status of ours, else nil.
func InfoOf(s *status.Status) *errdetails.ErrorInfo {
	for _, detail := range s.Details() {
		if info, ok := detail.(*errdetails.ErrorInfo); ok && info.GetDomain() == Domain {
			return info
		}
	}
	return nil
}

// InGroup names the group that a status is about, for calls with several groups: in
// its text, and as group_name in the metadata of its ErrorInfo.
func InGroup(err error, group string) error {
	s, ok := status.FromError(err)
	info := InfoOf(s)
	if !ok || info == nil {
		return err
	}
	p := s.Proto()
	named, err := status.New(s.Code(), "group "+group+": "+s.Message()).WithDetails(&errdetails.ErrorInfo{
		Reason: info.GetReason(), Domain: Domain, Metadata: map[string]string{"group_name": group},
	})
	if err != nil { // only with codes.OK
		return s.Err()
	}
	p2 := named.Proto()
	for _, detail := range p.GetDetails() {
		if !detail.MessageIs((*errdetails.ErrorInfo)(nil)) {
			p2.Details = append(p2.Details, detail)
		}
	}
	return status.ErrorProto(p2)
}
