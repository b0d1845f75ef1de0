"""Carries datagrams between two networks, late, and not all of them:
forwarder.py LISTEN_ADDRESS PORT TO_ADDRESS TO_PORT DELAY_MS LOSS_PERCENT SEED

Each sender gets a socket of its own towards the other side, as behind a NAT. The seed makes it lose
the same ones again.
"""

import heapq
import random
import selectors
import socket
import sys
import time

listen, port, to, to_port, delay, loss, seed = sys.argv[1:]
delay, loss, chance = float(delay) / 1000, float(loss) / 100, random.Random(int(seed))
selector = selectors.DefaultSelector()
front = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
front.bind((listen, int(port)))
front.setblocking(False)
selector.register(front, selectors.EVENT_READ, None)
backs, waiting, count = {}, [], 0
print("forwarding", flush=True)


def take(source, client):
    """Everything that has come, to be sent on later."""
    global count
    while True:
        try:
            data, peer = source.recvfrom(65536)
        except BlockingIOError:
            return
        if chance.random() < loss:
            continue
        count += 1
        if client is None:
            if peer not in backs:
                backs[peer] = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
                backs[peer].setblocking(False)
                backs[peer].connect((to, int(to_port)))
                selector.register(backs[peer], selectors.EVENT_READ, peer)
            heapq.heappush(waiting, (time.monotonic() + delay, count, backs[peer], data, None))
        else:
            heapq.heappush(waiting, (time.monotonic() + delay, count, front, data, client))


while True:
    pause = max(0.0, waiting[0][0] - time.monotonic()) if waiting else None
    for key, _ in selector.select(pause):
        take(key.fileobj, key.data)
    while waiting and waiting[0][0] <= time.monotonic():
        _, _, target, data, peer = heapq.heappop(waiting)
        try:
            target.sendto(data, peer) if peer else target.send(data)
        except (BlockingIOError, ConnectionRefusedError):
            pass
