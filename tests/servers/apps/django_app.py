"""Project, settings and manage.py in one file."""

import os
import sys

from common import BARE, SETTINGS, answer
from django.core.management import execute_from_command_line
from django.http import HttpResponse
from django.urls import path

SECRET_KEY = "tests"
DEBUG = True
ROOT_URLCONF = "django_app"
USE_TZ = True
INSTALLED_APPS = [] if BARE else ["django_memprof"]
MEMPROF = SETTINGS


def view(request):
    return HttpResponse(answer(request.path))


urlpatterns = [path("leak", view), path("inside", view)]

if __name__ == "__main__":
    os.environ["DJANGO_SETTINGS_MODULE"] = "django_app"
    execute_from_command_line(sys.argv)
