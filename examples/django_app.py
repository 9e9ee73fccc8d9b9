"""The shop on Django, in one file. Run it with ``gunicorn --threads 4 django_app:application``."""

from __future__ import annotations

import secrets
from collections.abc import Callable

from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.http import HttpRequest, JsonResponse
from django.http.response import HttpResponseBase
from django.urls import path
from django.views.decorators.http import require_GET, require_POST

import shop

settings.configure(
    SECRET_KEY=secrets.token_hex(),
    ROOT_URLCONF=__name__,
    ALLOWED_HOSTS=["127.0.0.1", "localhost"],
    MIDDLEWARE=[f"{__name__}.NotFoundMiddleware"],
    INSTALLED_APPS=["django_memprof"],  # the one line: profiler, alerts in LOGGING, /metrics, `manage.py memprof`
    LOGGING={
        "version": 1,
        "formatters": {"line": {"format": "{asctime} {levelname} {name}: {message}", "style": "{"}},
        "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "line"}},
        "root": {"handlers": ["console"], "level": "WARNING"},
    },
)


class NotFoundMiddleware:
    """What the shop does not have is a 404."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        return self.get_response(request)

    def process_exception(self, _request: HttpRequest, error: Exception) -> JsonResponse | None:
        return JsonResponse({"error": str(error)}, status=404) if isinstance(error, shop.NotFoundError) else None


@require_GET
def index(_request: HttpRequest) -> JsonResponse:
    return JsonResponse(shop.listing(), safe=False)


@require_GET
def product(_request: HttpRequest, number: str) -> JsonResponse:
    return JsonResponse(shop.details(number))


@require_GET
def search(request: HttpRequest) -> JsonResponse:
    return JsonResponse(shop.search(request.GET.get("q", "")), safe=False)


@require_POST
def cart(request: HttpRequest) -> JsonResponse:
    key, content = shop.add_to_cart(request.COOKIES.get("session"), request.GET.get("product", ""))
    response = JsonResponse(content, status=201)
    response.set_cookie("session", key)
    return response


@require_POST
def checkout(request: HttpRequest) -> JsonResponse:
    return JsonResponse(shop.checkout(request.COOKIES.get("session")), status=201)


urlpatterns = [
    path("", index),
    path("products/<str:number>", product),
    path("search", search),
    path("cart", cart),
    path("checkout", checkout),
]
application = get_wsgi_application()
