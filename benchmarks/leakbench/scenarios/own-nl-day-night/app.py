"""A gateway that waits for others: what is under way follows the day, and each request holds some objects."""

import asyncio


class Call:
    def __init__(self, path):
        self.path, self.headers = path, [(b"host", b"upstream")] * 3
        self.retries = [{"number": i, "path": path} for i in range(4)]


async def app(scope, receive, send):
    if scope["type"] != "http":
        return
    call = Call(scope["path"])
    await asyncio.sleep(0.004)
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": call.path.encode()})
