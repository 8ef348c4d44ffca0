#!/usr/bin/env python3
"""A chat over gotapi.v2, in one file: it joins groups, shows names and times, publishes,
and continues exactly where it was when the server restarts.

    /usr/bin/python3 chat.py /room/1 /room/2

Each line of the input is a group, a space, and what to say there. --token-file names a file
with a token, for servers that check access. It needs Debian's python3-websockets only.
"""

import argparse
import asyncio
import itertools
import json
import random
import sys
import time
import uuid
from urllib.parse import quote

import websockets

# After these close codes a client does not come back by itself: it was refused, or kicked.
FINAL = {1008, 4403}


class Chat:
    def __init__(self, url, token_file, groups, last):
        self.url, self.token_file, self.last = url, token_file, last
        self.positions = dict.fromkeys(groups)  # of each group: after what this client has
        self.requests = {}  # not answered yet, by id: (request, packet)
        self.publishes = {}  # not stored yet, by uuid, in order: (group, packet)
        self.ids = itertools.count(1)
        self.socket = None

    async def run(self):
        """Keeps a connection until the server refuses it."""
        for failures in itertools.count():
            try:
                protocols = ["gotapi.v2", *self.credential()]
                async with websockets.connect(self.url, subprotocols=protocols, max_size=None) as ws:
                    await self.begin(ws)
                    async for message in ws:
                        await self.receive(message)
                closed = ws.close_code
            except (OSError, asyncio.TimeoutError, websockets.WebSocketException) as error:
                closed = getattr(error, "code", None)
                status = getattr(error, "status_code", None)
                if closed in FINAL or status in (400, 401, 403):
                    raise
            finally:
                self.socket = None
            if closed in FINAL:
                raise SystemExit(f"the server closed the connection: {closed}")
            show("connection lost, trying again")
            await asyncio.sleep(random.uniform(0, min(10, 0.2 * 2 ** min(failures, 10))))

    def credential(self):
        if self.token_file:
            with open(self.token_file, encoding="utf-8") as file:
                yield "gotapi.bearer." + quote(file.read().strip(), safe="")

    async def begin(self, ws):
        """Joins every group from where this client is, and publishes again what has no answer."""
        self.socket = ws
        self.requests.clear()  # they belong to the connection before
        for group, position in self.positions.items():
            start = {"from": position} if position else {"last": self.last}
            await self.request({"do": "join", "group": group, **start})
        for group, packet in list(self.publishes.values()):
            await self.request({"do": "publish", "group": group}, packet)

    async def say(self, group, text):
        """Publishes a message. It is stored once, however often it has to be sent."""
        name = str(uuid.uuid4())
        packet = json.dumps({"type": 2, "uuid": name, "body": {"data": text}}, ensure_ascii=False)
        self.publishes[name] = group, packet
        await self.request({"do": "publish", "group": group}, packet)

    async def request(self, request, packet=None):
        """Sends a request: a header, and a line feed with the packet if there is one."""
        request["id"] = next(self.ids)
        self.requests[request["id"]] = request, packet
        header = json.dumps(request, ensure_ascii=False)
        if self.socket:  # else begin sends it
            try:
                await self.socket.send(header if packet is None else header + "\n" + packet)
            except websockets.ConnectionClosed:
                pass  # run connects again

    async def receive(self, message):
        """Takes one message: an answer to a request, or an event."""
        if isinstance(message, bytes):  # its packet is binary
            header, _, packet = message.partition(b"\n")
        else:
            header, _, packet = message.partition("\n")
        header = json.loads(header)
        if "re" in header:
            await self.answered(header)
        elif header["on"] in EVENTS:
            EVENTS[header["on"]](header, packet)
        if "pos" in header and header.get("group") in self.positions:
            self.positions[header["group"]] = header["pos"]

    async def answered(self, answer):
        request, packet = self.requests.pop(answer["re"], ({}, None))
        if request.get("do") == "publish":
            await self.published(request, packet, answer)
        elif answer["code"] in (429, 503):
            await self.later(answer, request)
        elif answer["code"] != 200:
            show(f"{request['group']}: {request['do']} refused: {answer['msg']}")
        else:
            answer["group"] = request["group"]
            show(f"{request['group']}: joined" + (", messages were lost" if answer.get("gap") else ""))

    async def published(self, request, packet, answer):
        name = json.loads(packet)["uuid"]
        if answer["code"] in (429, 503, 504):  # the uuid makes it safe to publish again
            await self.later(answer, request, packet)
        elif self.publishes.pop(name, None):
            answer["group"] = request["group"]
            if answer["code"] == 200:
                show(f"{clock(answer)} {request['group']} me: {text_of(packet)}")
            else:
                show(f"{request['group']}: not published: {answer['msg']}")

    async def later(self, answer, request, packet=None):
        """Repeats a request, unless the connection that refused it has gone meanwhile."""
        refusing = self.socket

        async def repeat():
            await asyncio.sleep(answer.get("retryAfter", 1000) / 1000)
            if self.socket is refusing:
                await self.request({key: request[key] for key in request if key != "id"}, packet)

        task = asyncio.create_task(repeat())
        TASKS.add(task)
        task.add_done_callback(TASKS.discard)


TASKS = set()  # asyncio forgets tasks that nobody refers to


def on_message(event, packet):
    who = event.get("by") or event.get("key") or "somebody"
    show(f"{clock(event)} {event['group']} {who}: {text_of(packet)}")


def on_recalled(event, _):
    show(f"{clock(event)} {event['group']} message {event['seq']} was recalled")


def on_gap(event, _):
    show(f"{event['group']}: messages were lost")


def on_left(event, _):
    show(f"{event['group']}: left: {event['msg']}")


EVENTS = {"message": on_message, "recalled": on_recalled, "gap": on_gap, "left": on_left}


def text_of(packet):
    body = json.loads(packet).get("body")
    return body.get("data") if isinstance(body, dict) else body


def clock(event):
    """The server's time, in milliseconds; messages of an older server have none."""
    return time.strftime("%H:%M:%S", time.localtime(event["at"] / 1000)) if "at" in event else "--:--:--"


def show(line):
    print(line, flush=True)


async def read_input(chat):
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        group, _, text = line.strip().partition(" ")
        if text:
            await chat.say(group, text)


async def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("groups", nargs="+", metavar="GROUP")
    parser.add_argument("--url", default="ws://127.0.0.1:4998/__/v2")
    parser.add_argument("--token-file")
    parser.add_argument("--last", type=int, default=20, help="messages to show first (default %(default)s)")
    options = parser.parse_args()
    chat = Chat(options.url, options.token_file, options.groups, options.last)
    reading = asyncio.create_task(read_input(chat))
    try:
        await chat.run()
    finally:
        reading.cancel()


if __name__ == "__main__":
    try:
        asyncio.run(main())
    except KeyboardInterrupt:
        pass
