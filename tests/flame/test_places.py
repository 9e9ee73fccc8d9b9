"""Files get the names that a reader knows them by."""

from __future__ import annotations

import pytest

from memprof_middleware.flame.places import Places

SITE = "/srv/venv/lib/python3.11/site-packages"


@pytest.fixture
def places():
    return Places(
        cwd="/srv/shop",
        path=["/srv/shop", "/srv/lib", f"{SITE}", "/usr/lib/python3.11"],
        stdlib=("/usr/lib/python3.11", "/usr/lib/python3.11"),
        package=f"{SITE}/memprof_middleware",
        scripts="/srv/venv/bin",
    )


@pytest.mark.parametrize(
    ("file", "name", "kind"),
    [
        ("/srv/shop/shop/cart.py", "shop/cart.py", "own"),
        ("/srv/lib/billing/tax.py", "billing/tax.py", "own"),
        (f"{SITE}/django/core/handlers/base.py", "django/core/handlers/base.py", "framework"),
        (f"{SITE}/bottle.py", "bottle.py", "framework"),
        (f"{SITE}/jinja2/environment.py", "jinja2/environment.py", "library"),
        ("/usr/lib/python3/dist-packages/yaml/loader.py", "yaml/loader.py", "library"),
        ("/usr/lib/python3.11/json/decoder.py", "json/decoder.py", "stdlib"),
        ("/srv/venv/bin/gunicorn", "bin/gunicorn", "framework"),
        ("<frozen importlib._bootstrap>", "<frozen importlib._bootstrap>", "stdlib"),
        ("<attrs generated init shop.Item>", "<attrs generated init shop.Item>", "library"),
        ("/home/anna/secret-project/app/views.py", ".../secret-project/app/views.py", "own"),
        (f"{SITE}/memprof_middleware/profiler.py", "memprof_middleware/profiler.py", "profiler"),
        (f"{SITE}/wsgi_memprof/__init__.py", "wsgi_memprof/__init__.py", "profiler"),
        (f"{SITE}/memprof_middleware/examples/shop/app.py", "examples/shop/app.py", "own"),
        ("C:\\shop\\views.py", "C:/shop/views.py", "own"),
    ],
)
def test_each_file_has_its_name(places, file, name, kind):
    """Folders that only this machine has are left out, and whose code it is is told; the demo's shop is one."""
    assert places.name(file) == (name, kind)


def test_a_virtual_environment_in_the_working_folder_is_not_the_applications_own():
    """Installed packages are libraries wherever the environment lies."""
    places = Places("/srv/shop", ["/srv/shop"], ("/usr/lib/python3.11",), "/nowhere/memprof_middleware")
    name = places.name("/srv/shop/.venv/lib/python3.11/site-packages/flask/app.py")
    assert name == ("flask/app.py", "framework")


def test_the_root_as_working_folder_makes_nothing_the_applications_own_by_itself():
    """Containers start in ``/``: then names are shortened to their end, and the standard library stays what it is."""
    places = Places("/", [], ("/usr/lib/python3.11",), "/usr/lib/python3/dist-packages/memprof_middleware")
    assert places.name("/usr/lib/python3.11/json/decoder.py")[1] == "stdlib"
    assert places.name("/app/code/shop/views.py") == (".../code/shop/views.py", "own")


def test_adapters_on_their_shelf_are_ours():
    """In an editable installation the adapters lie in ``integrations``, and still do not show."""
    places = Places("/work", [], (), "/work/memprof_middleware")
    assert places.name("/work/integrations/flask_memprof/__init__.py")[1] == "profiler"
