"""Settings of Sphinx: pages in MyST Markdown, the API page from docstrings."""

from importlib import metadata

project = "memprof-middleware"
author = "The memprof-middleware founders"
release = version = metadata.version("memprof-middleware")
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = f"memprof-middleware {release}"
myst_heading_anchors = 3
autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
autodoc_preserve_defaults = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True
