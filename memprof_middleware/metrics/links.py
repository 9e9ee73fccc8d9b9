"""Where alerts and the dashboard lead to: the runbook, the page, the dashboard."""

from __future__ import annotations

import re

from memprof_middleware.metrics.allowed import check_url

RUNBOOK = "https://github.com/memprof-middleware/memprof-middleware/blob/main/docs/runbook.md"
# In the dashboard, whose table knows the instance of each row.
PAGE = "http://${__data.fields.instance}/memprof/"
_LINK = re.compile(rf"^( +)runbook_url: {re.escape(RUNBOOK)}#(\w+)$", re.MULTILINE)
_LABEL = re.compile(r"\{(instance|job)\}")


def with_links(rules: str, *, runbook: str | None, page: str | None, dashboard: str | None) -> str:
    """Alert rules whose annotations lead to these addresses.

    Args:
        rules: the rules as they ship.
        runbook: in place of the project's; each alert adds its heading to it.
        page: of memprof, an annotation ``page``; ``{instance}`` and ``{job}`` stand for labels of the alert.
        dashboard: in Grafana, an annotation ``dashboard``, in the same way.

    Raises:
        ConfigError: one is no URL.
    """
    added = {"page": page, "dashboard": dashboard}
    for name, url in {"runbook": runbook, **added}.items():
        if url is not None:
            check_url(f"{name}-url", url)

    def replace(match: re.Match[str]) -> str:
        more = [f"{match[1]}{name}: {_templated(url)}" for name, url in added.items() if url is not None]
        return "\n".join([f"{match[1]}runbook_url: {_templated(f'{runbook or RUNBOOK}#{match[2]}')}", *more])

    return _LINK.sub(replace, rules)


def in_dashboard(text: str, *, runbook: str | None, page: str | None) -> str:
    """The dashboard with these addresses in place of its own.

    Raises:
        ConfigError: one is no URL.
    """
    if runbook is not None:
        check_url("runbook-url", runbook)
        text = text.replace(RUNBOOK, _LABEL.sub(r"${\1}", runbook))
    if page is not None:
        check_url("page-url", page)
        text = text.replace(PAGE, _LABEL.sub(r"${__data.fields.\1}", page))
    return text


def _templated(url: str) -> str:
    # In quotes, for YAML reads a brace as the beginning of a mapping.
    text = _LABEL.sub(r"{{ $labels.\1 }}", url)
    return text if text == url else f'"{text}"'
