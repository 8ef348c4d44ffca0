#!/usr/bin/env python3
"""Publishes to a room, pages through its history, or watches it."""

import argparse
import json
import pathlib
import sys
import time
import uuid

import grpc

sys.path.insert(0, str(pathlib.Path(__file__).parent / "gen"))
from gotapi.history.v1 import history_pb2 as pb  # noqa: E402
from gotapi.history.v1 import history_pb2_grpc as rpc  # noqa: E402

SERVICE = "gotapi.history.v1.HistoryService"
RETRY = {
    "maxAttempts": 4,
    "initialBackoff": "0.5s",
    "maxBackoff": "5s",
    "backoffMultiplier": 2,
    "retryableStatusCodes": ["UNAVAILABLE"],
}
OPTIONS = [
    # Safe, because every publish below has a uuid.
    ("grpc.service_config", json.dumps({"methodConfig": [
        {"name": [{"service": SERVICE, "method": m} for m in ("Publish", "GetHistory")], "retryPolicy": RETRY},
    ]})),
    # A server that is gone without a word is noticed. More often than every 5 s is refused.
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    # A server that comes back is found soon.
    ("grpc.max_reconnect_backoff_ms", 5_000),
]

# How a watch may end and be opened again.
PASSING = (
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
    grpc.StatusCode.INTERNAL,
    grpc.StatusCode.UNKNOWN,
    grpc.StatusCode.CANCELLED,
)


def publish(api, room, text, metadata):
    packet = {"type": 2, "uuid": uuid.uuid4().hex, "body": {"data": text}}
    answer = api.Publish(
        pb.PublishRequest(group_name=room, packet=json.dumps(packet).encode()),
        timeout=15, metadata=metadata,
    )
    print("stored", answer.uuid)


def page(api, room, metadata):
    """Prints all messages, newest first. A page ends before 4 MiB, gRPC's default limit."""
    before = ""
    while True:
        answer = api.GetHistory(
            pb.GetHistoryRequest(group_name=room, before=before), timeout=15, metadata=metadata,
        )
        for text in answer.data:
            print(text)
        if not answer.HasField("next") or not answer.data:
            return
        # Not by position: others may publish meanwhile. Each message here has a uuid.
        before = json.loads(answer.data[-1])["uuid"]


def watch(api, room, metadata):
    """Prints what happens, also what has happened while the server was away."""
    position = None
    while True:
        group = pb.WatchedGroup(group_name=room, after=position)
        try:
            for answer in api.Watch(pb.WatchRequest(groups=[group]), metadata=metadata):
                show(answer)
                position = answer.position
        except grpc.RpcError as error:
            if error.code() not in PASSING:
                raise
            print("away:", error.details(), file=sys.stderr, flush=True)
        time.sleep(0.5)


def show(answer):
    event = answer.WhichOneof("event")
    if event == "message":
        print("message", answer.message.packet.decode(), flush=True)
    elif event == "packet":
        print("packet", answer.packet.packet, flush=True)
    elif event == "recalled":
        print("recalled", answer.recalled.uuid, flush=True)
    elif event == "started":
        print("watching", flush=True)
    elif event == "gap" and answer.gap.dropped_packets:
        print("missed", answer.gap.dropped_packets, "packets", flush=True)
    elif event == "gap":
        print("gap: read the history again:", answer.gap.reason, flush=True)
    # "moved", and what later versions add, is a new position only.


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--server", default="127.0.0.1:5998")
    parser.add_argument("--room", default="/room/1/")
    parser.add_argument("--token", help="a JSON Web Token or an API key")
    parser.add_argument("action", choices=["publish", "page", "watch"])
    parser.add_argument("text", nargs="?", default="hello")
    args = parser.parse_args()
    metadata = [("authorization", "Bearer " + args.token)] if args.token else []
    with grpc.insecure_channel(args.server, OPTIONS) as channel:
        api = rpc.HistoryServiceStub(channel)
        if args.action == "publish":
            publish(api, args.room, args.text, metadata)
        elif args.action == "page":
            page(api, args.room, metadata)
        else:
            watch(api, args.room, metadata)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        pass
    except grpc.RpcError as failure:
        sys.exit(f"{failure.code().name}: {failure.details()}")
