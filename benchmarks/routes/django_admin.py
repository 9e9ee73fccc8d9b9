"""Django's own admin on SQLite, as its authors wrote it, with a leak planted by one line; run by gunicorn."""

from __future__ import annotations

import os
from pathlib import Path

import django
from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.http import HttpRequest, HttpResponse
from django.urls import path
from django.views.decorators.csrf import csrf_exempt

from benchmarks.routes import control, work

folder = Path(os.environ["BENCH_FOLDER"])
settings.configure(
    SECRET_KEY=os.urandom(16).hex(),
    ALLOWED_HOSTS=["*"],
    ROOT_URLCONF=__name__,
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": folder / "db.sqlite3"}},
    INSTALLED_APPS=[
        "django.contrib.admin",
        "django.contrib.auth",
        "django.contrib.contenttypes",
        "django.contrib.sessions",
        "django.contrib.messages",
        "django.contrib.admindocs",
        "django_memprof",
    ],
    MIDDLEWARE=[
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.middleware.common.CommonMiddleware",
        "django.middleware.csrf.CsrfViewMiddleware",
        "django.contrib.auth.middleware.AuthenticationMiddleware",
        "django.contrib.messages.middleware.MessageMiddleware",
    ],
    TEMPLATES=[
        {
            "BACKEND": "django.template.backends.django.DjangoTemplates",
            "APP_DIRS": True,
            "OPTIONS": {
                "context_processors": [
                    "django.template.context_processors.request",
                    "django.contrib.auth.context_processors.auth",
                    "django.contrib.messages.context_processors.messages",
                ]
            },
        }
    ],
    STATIC_URL="static/",
    DEFAULT_AUTO_FIELD="django.db.models.AutoField",
    MEMPROF=control.profiler,
)
django.setup()

from django.contrib import admin
from django.contrib.auth.models import Group, User
from django.core.management import call_command
from django.test import Client

call_command("migrate", verbosity=0)
root = User.objects.create_superuser("root", "", "root")
for number in range(30):
    User.objects.create_user(f"user{number}")
    Group.objects.create(name=f"group{number}")
browser = Client()
browser.force_login(root)
cookie = f"sessionid={browser.cookies['sessionid'].value}"

# The planted leak, in one line.
admin.ModelAdmin.history_view = work.keeping(admin.ModelAdmin.history_view, 10_000)


def answer(text: str) -> HttpResponse:
    return HttpResponse(text)


def begin(_: HttpRequest, grows: int) -> HttpResponse:
    return answer(control.begin(bool(grows)))


urlpatterns = [
    path("admin/", admin.site.urls),
    path("control/begin/<int:grows>", csrf_exempt(begin)),
    path("control/found", lambda _: answer(control.found())),
    path("control/windows", lambda _: answer(control.windows())),
    path("control/cookie", lambda _: answer(cookie)),
]
application = get_wsgi_application()
