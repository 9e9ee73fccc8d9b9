"""The one route of the Django application that is measured."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.urls import path

from benchmarks.hosts import BODY


def index(_request: HttpRequest) -> HttpResponse:
    return HttpResponse(BODY)


urlpatterns = [path("", index)]
