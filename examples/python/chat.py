#!/usr/bin/env python3
"""A chat over gotapi.v2, in one file.

    /usr/bin/python3 examples/python/chat.py /room/1 /room/2

It joins the groups, shows who said what and when, and publishes what you type: a group, a
space, the text. When the connection breaks, it continues exactly where it was. It needs the
standard library and Debian's python3-websockets.
"""

import argparse
import asyncio
import itertools
import json
import random
import sys
import threading
import time
import uuid
from functools import partial
from pathlib import Path
from urllib.parse import quote

import websockets

# The server has refused this client, as a status of HTTP or a close code. Trying again is no use.
REFUSED = {400, 401, 403, 1008}
# Codes of answers after which the same request is worth another try.
AGAIN = {429, 503, 504}


class Chat:
    def __init__(self, url, token_file, groups, last):
        self.url, self.token_file, self.last = url, token_file, last
        self.positions = dict.fromkeys(groups)  # of each group: the newest "pos"
        self.unstored = {}  # publishes without an answer, by uuid: (group, text)
        self.socket = None  # while it is connected
        self.ids = itertools.count(1)
        self.answers = {}  # what to call with the answer, by id of the request
        self.delay = 0.2  # seconds at most before the next connection
        self.tasks = set()  # asyncio forgets tasks to which nothing refers

    async def run(self):
        """Keeps a connection until the server refuses this client."""
        while (end := await self.connect()) not in REFUSED:
            show(f"connection lost ({end}), trying again")
            await asyncio.sleep(random.uniform(0, self.delay))
            self.delay = min(10, 2 * self.delay)
        sys.exit(f"refused: {end}")

    async def connect(self):
        """Serves one connection. Returns why it ended: a close code, or a status of HTTP."""
        protocols = ["gotapi.v2"]
        if self.token_file:
            token = Path(self.token_file).read_text(encoding="utf-8").strip()
            protocols.append("gotapi.bearer." + quote(token, safe=""))
        try:
            async with websockets.connect(self.url, subprotocols=protocols, max_size=None) as self.socket:
                self.answers.clear()  # those of an earlier connection never come
                for group in self.positions:
                    await self.join(group)
                for name in list(self.unstored):
                    await self.publish(name)
                async for message in self.socket:
                    self.receive(message)
                return self.socket.close_code
        except websockets.InvalidStatusCode as error:
            return error.status_code
        except websockets.ConnectionClosed as error:
            return error.code
        except (OSError, asyncio.TimeoutError, websockets.WebSocketException) as error:
            return error
        finally:
            self.socket = None

    # Requests

    async def join(self, group):
        """Joins a group where this client is, or with its newest messages."""
        position = self.positions[group]
        start = {"from": position} if position else {"last": self.last}
        await self.send({"do": "join", "group": group, **start}, partial(self.joined, group))

    async def say(self, group, text):
        """Publishes a message. Its uuid makes it safe to send it more than once."""
        name = str(uuid.uuid4())
        self.unstored[name] = group, text
        await self.publish(name)

    async def publish(self, name):
        if name in self.unstored:
            group, text = self.unstored[name]
            packet = json.dumps({"type": 2, "uuid": name, "body": {"data": text}})
            await self.send({"do": "publish", "group": group}, partial(self.published, name), packet)

    async def send(self, request, answered, packet=None):
        """Sends a header, and after a line feed the packet if there is one."""
        if self.socket:  # else connect() sends it later
            request["id"] = next(self.ids)
            self.answers[request["id"]] = answered
            header = json.dumps(request)
            try:
                await self.socket.send(header if packet is None else header + "\n" + packet)
            except websockets.ConnectionClosed:
                pass  # run() connects again

    def later(self, answer, request, subject):
        """Repeats a request, unless its connection has ended: the next one begins with all of them."""
        refusing = self.socket

        async def repeat():
            await asyncio.sleep(answer.get("retryAfter", 1000) / 1000)
            if self.socket is refusing:
                await request(subject)

        task = asyncio.create_task(repeat())
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    # Answers and events

    def receive(self, message):
        line_feed = b"\n" if isinstance(message, bytes) else "\n"  # binary: the packet is
        header, _, packet = message.partition(line_feed)
        header = json.loads(header)
        if "re" in header:
            self.answers.pop(header["re"])(header)
        elif event := getattr(self, "on_" + header["on"], None):  # new events may appear: ignore them
            event(header, packet)
        if "pos" in header and "group" in header:
            self.positions[header["group"]] = header["pos"]

    def joined(self, group, answer):
        if answer["code"] in AGAIN:
            self.later(answer, self.join, group)
        elif answer["code"] != 200:
            show(f"{group}: not joined: {answer['msg']}")
        else:
            self.delay = 0.2
            self.positions[group] = answer["pos"]
            show(f"{group}: joined" + (", messages were lost" if "gap" in answer else ""))

    def published(self, name, answer):
        """The answer stands where the message would stand in the group."""
        if answer["code"] in AGAIN:
            self.later(answer, self.publish, name)
        elif name in self.unstored:  # else it has come as a message, and this is a duplicate
            group, text = self.unstored.pop(name)
            if answer["code"] == 200:
                show(f"{clock(answer)} {group} me: {text}")
                self.positions[group] = answer.get("pos", self.positions.get(group))
            else:
                show(f"{group}: not published: {answer['msg']}")

    def on_message(self, event, packet):
        packet = json.loads(packet)
        mine = self.unstored.pop(packet.get("uuid"), None)  # stored, but its answer was lost
        author = "me" if mine else event.get("by") or event.get("key") or "somebody"
        show(f"{clock(event)} {event['group']} {author}: {(packet.get('body') or {}).get('data')}")

    def on_recalled(self, event, _):
        show(f"{clock(event)} {event['group']} message {event['seq']} was recalled")

    def on_gap(self, event, _):
        show(f"{event['group']}: messages were lost")

    def on_left(self, event, _):
        show(f"{event['group']}: left: {event['msg']}")
        if event["code"] in AGAIN:
            self.later(event, self.join, event["group"])


def clock(header):
    """The server's time. Messages that an older server stored have none."""
    return time.strftime("%H:%M:%S", time.localtime(header["at"] / 1000)) if "at" in header else "--:--:--"


def show(line):
    print(line, flush=True)


async def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("groups", nargs="+", metavar="GROUP")
    parser.add_argument("--url", default="ws://127.0.0.1:4998/__/v2")
    parser.add_argument("--token-file", help="a file with a token, read before each connection")
    parser.add_argument("--last", type=int, default=20, help="how many messages to show first (default %(default)s)")
    options = parser.parse_args()
    chat = Chat(options.url, options.token_file, options.groups, options.last)
    loop = asyncio.get_running_loop()

    def read_input():
        for line in sys.stdin:
            group, _, text = line.strip().partition(" ")
            if text:
                asyncio.run_coroutine_threadsafe(chat.say(group, text), loop)

    threading.Thread(target=read_input, daemon=True).start()
    await chat.run()


if __name__ == "__main__":
    try:
        asyncio.run(main())
    except KeyboardInterrupt:
        pass
