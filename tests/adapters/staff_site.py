"""A Django project with users, a session for each and the page open to staff; prints who sees what, as JSON."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

import django
from django.conf import settings
from django.http import HttpResponse
from django.urls import include, path

STAFF = {"page_staff": True} if "staff" in sys.argv else {}
settings.configure(
    SECRET_KEY="tests",
    DEBUG=True,
    ALLOWED_HOSTS=["*"],
    INTERNAL_IPS=["127.0.0.1"],
    ROOT_URLCONF=__name__,
    STATIC_URL="static/",
    INSTALLED_APPS=[
        "django.contrib.auth",
        "django.contrib.contenttypes",
        "django.contrib.sessions",
        "django.contrib.staticfiles",
        "debug_toolbar",
        "django_memprof",
    ],
    MIDDLEWARE=["debug_toolbar.middleware.DebugToolbarMiddleware"],
    DEBUG_TOOLBAR_PANELS=["django_memprof.panel.MemProfPanel"],
    DEBUG_TOOLBAR_CONFIG={"SHOW_TOOLBAR_CALLBACK": lambda request: True},
    TEMPLATES=[{"BACKEND": "django.template.backends.django.DjangoTemplates", "APP_DIRS": True}],
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": "file:staff?mode=memory&cache=shared"}},
    PASSWORD_HASHERS=["django.contrib.auth.hashers.MD5PasswordHasher"],
    MEMPROF={"background": False, **STAFF},
)
django.setup()


def home(_: Any) -> HttpResponse:
    return HttpResponse("<html><body>hello</body></html>")


urlpatterns = [path("", home), path("__debug__/", include("debug_toolbar.urls"))]


def main() -> dict[str, object]:
    from django.contrib.auth.models import User
    from django.core.management import call_command
    from django.test import AsyncClient, Client

    call_command("migrate", verbosity=0)
    seen: dict[str, object] = {}

    def client_of(name: str, **flags: bool) -> Client:
        client = Client()
        client.force_login(User.objects.create_user(name, password="old", **flags))
        return client

    def status(client: Client, at: str = "/memprof/", **headers: str) -> int:
        return client.get(at, headers=headers).status_code

    seen["anonymous"] = status(Client())
    seen["user"] = status(client_of("user"))
    staff = client_of("staff", is_staff=True)
    seen["staff"] = status(staff)
    seen["state"] = status(staff, "/memprof/api/state.json")
    seen["wrong bearer of staff"] = status(staff, authorization="Bearer nonsense")
    forged = Client()
    forged.cookies["sessionid"] = "nonsense"
    seen["forged session"] = status(forged)
    foreign = {"sec-fetch-site": "cross-site"}
    seen["post from elsewhere"] = staff.post("/memprof/flame", headers=foreign).status_code
    own = {"sec-fetch-site": "same-origin"}
    seen["post of our page"] = staff.post("/memprof/nothing-there", headers=own).status_code
    asynchronous = AsyncClient()
    asynchronous.cookies = staff.cookies
    seen["staff, ASGI"] = asyncio.run(asynchronous.get("/memprof/")).status_code
    User.objects.filter(username="staff").update(is_active=False)
    seen["inactive staff"] = status(staff)
    User.objects.filter(username="staff").update(is_active=True, is_staff=False)
    seen["no longer staff"] = status(staff)
    User.objects.filter(username="staff").update(is_staff=True, password="new")
    seen["password changed"] = status(staff)
    seen["metrics"] = status(Client(), "/metrics")
    seen["panel"] = " blocks, 0 leaks" in Client().get("/").content.decode()
    return seen


if __name__ == "__main__":
    print(json.dumps(main()))
