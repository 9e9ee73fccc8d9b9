"""A Django project in one file, without a line of ours."""

import os
import sys

from django.conf import settings
from django.http import JsonResponse
from django.urls import path

settings.configure(
    DEBUG=True,
    ALLOWED_HOSTS=["*"],
    ROOT_URLCONF=__name__,
    SECRET_KEY="tests",
    INSTALLED_APPS=["django.contrib.staticfiles"],
    STATIC_URL="static/",
)


def inside(request):
    return JsonResponse({"pid": os.getpid(), "threads": [], "worker": None})


def item(request, n):
    return JsonResponse({"item": n})


urlpatterns = [path("inside", inside), path("items/<n>", item)]

if __name__ == "__main__":
    from django.core.management import execute_from_command_line

    execute_from_command_line(sys.argv)
