"""What is particular to Flask: the extension pattern, app.config, app.logger, the command."""

from __future__ import annotations

import io
import logging
import threading

import flask
import pytest
from click.testing import CliRunner
from flask.cli import FlaskGroup

from flask_memprof import MemProf, get_profiler
from memprof_middleware import Config, ConfigError, MemoryProfiler
from memprof_middleware.testing import FakeProbes


def make_app(name="shop", **config):
    app = flask.Flask(name)
    app.config.update(MEMPROF_BACKGROUND=False, **config)
    app.add_url_rule("/hello", "hello", lambda: "hello")
    return app


def flask_command(app, *args):
    """The `flask` command itself, which brings commands of its own."""
    return CliRunner().invoke(FlaskGroup(create_app=lambda: app), args)


def test_init_app_late():
    """The extension is made first and meets the application later, as Flask's extensions do."""
    memprof = MemProf()
    app = make_app()
    memprof.init_app(app)
    assert app.test_client().get("/metrics").status_code == 200
    assert isinstance(app.extensions["memprof"], MemoryProfiler)


def test_two_applications():
    """One extension object serves the applications of a factory, each with its own settings and figures."""
    memprof = MemProf()
    apps = [make_app(name, MEMPROF_NAMESPACE=name) for name in ("shop", "admin")]
    for app in apps:
        memprof.init_app(app)
    shop, admin = apps
    shop.test_client().get("/hello")
    assert (get_profiler(shop).requests, get_profiler(admin).requests) == (1, 0)
    assert "shop_memory" in shop.test_client().get("/metrics").text
    assert "admin_memory" in admin.test_client().get("/metrics").text
    with admin.app_context():
        assert get_profiler() is get_profiler(admin)


def test_one_profiler_for_two_applications():
    """A profiler given to the extension is shared: one process, one thread."""
    profiler = MemoryProfiler(Config(background=False))
    memprof = MemProf(profiler=profiler)
    apps = [make_app(name) for name in ("shop", "admin")]
    for app in apps:
        memprof.init_app(app)
        app.test_client().get("/hello")
    assert get_profiler(apps[0]) is get_profiler(apps[1]) is profiler
    assert profiler.requests == 2


def test_init_app_twice():
    """An application that has the extension already says so, instead of counting every request twice."""
    app = make_app()
    memprof = MemProf(app)
    with pytest.raises(ConfigError, match="'shop' has the extension already"):
        memprof.init_app(app)


def test_settings_come_from_app_config(monkeypatch):
    """MEMPROF_* keys are read at init_app; other keys are not ours; the environment fills in the rest."""
    monkeypatch.setenv("MEMPROF_INTERVAL", "30")
    monkeypatch.setenv("MEMPROF_NAMESPACE", "from_env")
    app = make_app(MEMPROF_NAMESPACE="from_config", MEMPROF_TOP_TYPES=5, SQLALCHEMY_ECHO=True)
    MemProf(app)
    config = get_profiler(app).config
    assert (config.namespace, config.top_types, config.interval) == ("from_config", 5, 30.0)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("MEMPROF_INTERVALL", 5, "MEMPROF_INTERVALL.*MEMPROF_INTERVAL"),
        ("MEMPROF_INTERVAL", 0.5, "interval=0.5 is out of range; allowed: 1 to 86400"),
        ("MEMPROF_INTERVAL", "often", "interval='often' is not a number"),
        ("MEMPROF_METRICS_PATH", "metrics", "metrics_path='metrics'.*leading slash"),
        ("MEMPROF_HEAP_WARNING_PERCENT", 95, "heap_critical_percent=90.0 must be above"),
    ],
)
def test_bad_settings(key, value, message):
    """A bad key is an error at init_app that names the key, the value and what is allowed."""
    with pytest.raises(ConfigError, match=message):
        MemProf(make_app(**{key: value}))


def test_a_bad_token_is_not_shown():
    """A secret that is refused does not appear in the error."""
    with pytest.raises(ConfigError) as error:
        MemProf(make_app(MEMPROF_METRICS_TOKEN="short"))
    assert "short" not in str(error.value)


def test_the_command():
    """`flask memprof` prints the report of the application as the command loads it."""
    app = make_app()
    MemProf(app, profiler=MemoryProfiler(Config(background=False), probes=FakeProbes()))
    for result in (app.test_cli_runner().invoke(args=["memprof"]), flask_command(app, "memprof")):
        assert result.exit_code == 0, result.output
        assert "100.0 of 1,000.0 MB" in result.output
        assert "Leaks: none found" in result.output


def test_commands_start_nothing():
    """Other commands of the application start no thread."""
    app = flask.Flask("shop")
    MemProf(app)
    assert flask_command(app, "routes").exit_code == 0
    assert [thread for thread in threading.enumerate() if thread.name.startswith("memprof")] == []


def test_a_login_for_everything_lets_scrapes_through():
    """before_request that refuses everybody does not shut out Prometheus; the token does that."""
    app = make_app()
    MemProf(app)
    app.before_request(lambda: ("log in", 401))
    assert app.test_client().get("/hello").status_code == 401
    assert app.test_client().get("/metrics").status_code == 200


def test_alerts_use_the_applications_handlers():
    """Alerts are formatted by the handler that app.logger has, also one that is added after init_app."""
    app = make_app("alerting")
    profiler = MemoryProfiler(Config(background=False), probes=FakeProbes(heap_mb=950))
    MemProf(app, profiler=profiler)
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(logging.Formatter("%(name)s|%(levelname)s|%(memprof_value).0f"))
    app.logger.addHandler(handler)
    profiler.step()
    assert stream.getvalue().splitlines() == ["alerting|WARNING|95", "alerting|CRITICAL|95"]


def test_a_log_level_is_the_profilers_alone(caplog):
    """log_level="INFO" shows the start, and the application's own messages stay as they were."""
    app = make_app("quiet")
    MemProf(app, config=Config(background=False, log_level="INFO"))
    logger = app.extensions["memprof"].logger
    logger.info("of the profiler")
    app.logger.info("of the application")
    assert caplog.messages == ["of the profiler"]


def test_init_app_does_not_set_up_the_logger():
    """app.logger configures itself when first asked for, so the extension must not ask before the application does."""
    app = make_app("quiet")
    MemProf(app)
    assert "logger" not in vars(app)


@pytest.mark.parametrize("rule", ["/metrics", "/metrics/"])
def test_own_route_of_a_blueprint(rule):
    """A route that a blueprint brings after init_app is seen too, with the slash that Flask redirects to."""
    app = make_app()
    MemProf(app)
    blueprint = flask.Blueprint("own", "own")
    blueprint.add_url_rule(rule, "own", lambda: "own")
    app.register_blueprint(blueprint)
    assert app.test_client().get("/metrics", follow_redirects=True).text == "own"


def test_catch_all_is_no_own_route():
    """A route that answers everything does not hide the metrics."""
    app = make_app()
    app.add_url_rule("/<path:path>", "all", lambda path: "all")
    MemProf(app)
    assert "fogcompute_memory" in app.test_client().get("/metrics").text


def test_a_middleware_that_starts_the_response_late():
    """One that compresses knows the headers only when Flask is done: the route is counted all the same."""
    app = make_app()
    flask_app = app.wsgi_app

    def late(environ, start_response):
        started = []
        body = b"".join(flask_app(environ, lambda *given: started.append(given)))
        start_response(*started[0])
        return [body]

    app.wsgi_app = late
    MemProf(app)
    assert app.test_client().get("/hello").text == "hello"
    assert get_profiler(app).traffic.read() == ({"GET /hello": 1}, 0)
