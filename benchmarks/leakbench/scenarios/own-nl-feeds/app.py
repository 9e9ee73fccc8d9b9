"""A feed of the last 40 messages for each of 2,500 users: all of them together fill for hours, and each has its bound."""

import collections

FEEDS = {}


class Feed:
    def __init__(self, user):
        self.user, self.messages = user, collections.deque(maxlen=40)


async def app(scope, receive, send):
    if scope["type"] != "http":
        return
    user = scope["path"].rpartition("/")[2]
    feed = FEEDS.get(user) or FEEDS.setdefault(user, Feed(user))
    for i in range(5):
        feed.messages.append({"from": f"user-{user}", "text": f"message {i} to {user}, {len(feed.messages)}"})
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"ok"})
