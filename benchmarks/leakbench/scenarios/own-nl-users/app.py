"""A profile for each user who has come; there are 2,500 of them, and the last ones come late."""

PROFILES = {}


class Profile:
    def __init__(self, user):
        self.user, self.settings, self.visits = user, {"tags": [user]}, 0


async def app(scope, receive, send):
    if scope["type"] != "http":
        return
    user = scope["path"].rpartition("/")[2]
    profile = PROFILES.get(user) or PROFILES.setdefault(user, Profile(user))
    profile.visits += 1
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"ok"})
