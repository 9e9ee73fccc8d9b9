"""The runbook: what somebody reads who was woken up."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PARTS = ["What it means", "How to see it", "What to do", "When to silence it"]


def test_each_alert_has_its_heading_and_its_link_leads_there(alerts):
    """The fragment of the link is what a heading becomes, and there is no heading without an alert."""
    headings = re.findall(r"^## (Memory\w+)$", (ROOT / "docs/runbook.md").read_text(), re.MULTILINE)
    assert sorted(headings) == sorted(alerts)
    links = [rule["annotations"]["runbook_url"] for rule in alerts.values()]
    assert [link.split("docs/runbook.md#")[1] for link in links] == [name.lower() for name in alerts]


def test_each_heading_answers_the_four_questions():
    """What it means, how to see it, what to do, when to silence it."""
    for section in re.split(r"^## ", (ROOT / "docs/runbook.md").read_text(), flags=re.MULTILINE)[1:]:
        if section.startswith("Memory"):
            assert re.findall(r"^\*\*(.+)\.\*\*", section, re.MULTILINE) == PARTS, section[:40]
