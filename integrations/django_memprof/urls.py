"""For projects that place the route themselves: ``path("internal/", include("django_memprof.urls"))``."""

from django.http import HttpRequest, HttpResponse
from django.urls import path

from django_memprof import make_metrics_app


def metrics(request: HttpRequest) -> HttpResponse:
    """The metrics of the app."""
    # Asked for with each request: bad settings are for the system check to report, not for this import.
    return make_metrics_app()(request)


app_name = "memprof"
urlpatterns = [path("metrics", metrics, name="metrics")]
