"""Connections are made when all are in use, up to 60, and kept: the pool grows with the highest load so far."""

import asyncio


class Connection:
    def __init__(self, number):
        self.number, self.buffer, self.pending = number, bytearray(4096), []


class Pool:
    def __init__(self, most):
        self.free, self.made, self.room = [], 0, asyncio.Semaphore(most)

    def take(self):
        if not self.free:
            self.made += 1
            return Connection(self.made)
        return self.free.pop()


pool = Pool(60)


async def app(scope, receive, send):
    if scope["type"] != "http":
        return
    async with pool.room:
        connection = pool.take()
        await asyncio.sleep(0.001)
        pool.free.append(connection)
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"ok"})
