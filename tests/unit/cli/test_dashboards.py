"""Dashboards are what Grafana takes, and ask for what there is."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from skep.cli.dashboards import DASHBOARDS, Dashboard, grafana_json
from skep.cli.main import run
from skep.server.metrics import ALL_METRICS

LEDGER, METRICS = DASHBOARDS
ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize("dashboard", DASHBOARDS, ids=lambda each: each.uid)
def test_a_dashboard_is_whole(dashboard: Dashboard) -> None:
    made = grafana_json(dashboard)
    assert re.fullmatch(r"[a-z-]{5,40}", made["uid"])
    assert (made["schemaVersion"] >= 36, made["title"]) == (True, dashboard.title)
    names = [variable["name"] for variable in made["templating"]["list"]]
    assert names[0] == "datasource"
    assert len(made["panels"]) == len(dashboard.panels) == len({panel["title"] for panel in made["panels"]})
    taken = set[tuple[int, int]]()
    for number, panel in enumerate(made["panels"], 1):
        assert panel["id"] == number
        (target,) = panel["targets"]
        assert panel["datasource"] == target["datasource"] == {"type": dashboard.source, "uid": "${datasource}"}
        assert panel["type"] in {"timeseries", "table", "stat"}
        place = panel["gridPos"]
        cells = {(place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])}
        assert not cells & taken, "panels lie on each other"
        assert place["x"] + place["w"] <= 24
        taken |= cells
        used = set(re.findall(r"\$(?!__)(\w+)", target.get("rawSql", "") + target.get("expr", "")))
        assert used <= set(names)


def test_every_metric_is_one_that_is_served_and_documented() -> None:
    documented = (ROOT / "docs" / "reference" / "metrics.md").read_text(encoding="utf-8")
    served = {metric.name: metric for metric in ALL_METRICS}
    for panel in METRICS.panels:
        named = re.findall(r"\b((?:skep|external|vector)_[a-z0-9_]+)(?:\{([^}]*)\})?", panel.query)
        assert named, panel.title
        for name, matchers in named:
            plain = re.sub(r"_(bucket|sum|count)$", "", name) if name not in served else name
            metric = served[plain]
            assert f"`{plain}`" in documented
            assert (plain != name) == (metric.kind == "histogram")
            labels = set(metric.labels) | {"le"}
            assert set(re.findall(r"(\w+)\s*[=!]", matchers)) <= labels
            grouped = re.search(r"by \(([^)]*)\)", panel.query)
            if grouped is not None:
                assert {each.strip() for each in grouped[1].split(",")} <= labels, panel.title
                shown = set(re.findall(r"\{\{(\w+)\}\}", panel.legend))
                assert shown <= labels


def test_the_ledgers_panels_ask_documented_views_alone() -> None:
    documented = (ROOT / "docs" / "how-to" / "look-with-other-tools.md").read_text(encoding="utf-8")
    granted = set(re.findall(r"\w+", documented.partition("grant select on ")[2].partition(" to ")[0]))
    asked = {
        view
        for panel in grafana_json(LEDGER)["panels"]
        for view in re.findall(r"from (\w+)", panel["targets"][0]["rawSql"])
    }
    assert {"report_days", "report_privacy"} <= asked <= granted
    assert {f"`{view}`" in documented for view in granted} == {True}


def test_the_command_writes_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["gateway", "dashboards", "--output", str(tmp_path / "new")]) == 0
    assert "skep-ledger.json: Skep: what calls cost" in capsys.readouterr().out
    for dashboard in DASHBOARDS:
        written = json.loads((tmp_path / "new" / f"{dashboard.uid}.json").read_text(encoding="utf-8"))
        assert written == grafana_json(dashboard)
    assert run(["gateway", "dashboards", "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["dashboards"]) == 2
