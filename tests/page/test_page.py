# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The page as a browser shows it: on a desk, on a phone, in the dark, on paper."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from ansible_collections.firstlight.cluster.plugins.module_utils.lifecycle.run import write_json
from ansible_collections.firstlight.cluster.plugins.plugin_utils.report_page import render

from tests.page import reports
from tests.page.browser import DARK, Browser
from tests.page.markup import Markup

PHONE = 390


def write(artifacts: Path, name: str) -> Path:
    build: Callable[[Path], tuple[reports.RunDirectory, dict[str, object]]] = getattr(reports, name)
    run, report = build(artifacts)
    write_json(run.path / "report.json", report)
    page = run.path / "report.html"
    page.write_text(render(report), encoding="utf-8")
    return page


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return {name: write(tmp_path_factory.mktemp(name), name) for name in ("small", "large", "stopped")}


@pytest.mark.parametrize(("name", "nodes"), [("small", 4), ("large", 511), ("stopped", 511)])
def test_a_browser_reads_the_page_without_complaint(
    browser: Browser, pages: dict[str, Path], name: str, nodes: int
) -> None:
    shown = browser.show(pages[name].as_uri())
    assert shown.console == []
    markup = Markup(shown.dom)
    assert len(markup.of_class("cell")) == nodes
    written = Markup(pages[name].read_text(encoding="utf-8"))
    assert (markup.ids, markup.links, markup.text) == (written.ids, written.links, written.text)


def test_nothing_on_the_page_can_run(browser: Browser, pages: dict[str, Path]) -> None:
    """Also what got past the escaping would not; and the console that the test above reads does speak."""
    page = pages["small"]
    smuggled = page.with_name("smuggled.html")
    smuggled.write_text(
        page.read_text(encoding="utf-8").replace("</body>", '<script>document.title = "ran"</script></body>'),
        encoding="utf-8",
    )
    shown = browser.show(smuggled.as_uri())
    assert "<title>ran</title>" not in shown.dom
    assert any("Content Security Policy" in line for line in shown.console)


@pytest.mark.parametrize("name", ["small", "large", "stopped"])
@pytest.mark.parametrize("width", [PHONE, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_everything_fits_and_can_be_read(
    browser: Browser, pages: dict[str, Path], name: str, width: int, scheme: str
) -> None:
    measured = browser.measure(pages[name], width, *([DARK] if scheme == "dark" else []))
    assert measured["scroll_width"] == width
    assert measured["sticking_out"] == []
    assert measured["faint"] == []
    assert measured["small"] == []
    assert (measured["background"] < 0.1) is (scheme == "dark")


def test_a_link_to_a_finding_unfolds_it(browser: Browser, pages: dict[str, Path]) -> None:
    page = pages["large"]
    folded = Markup(page.read_text(encoding="utf-8"))
    target = next(link for link in folded.links if link.startswith("#finding-"))
    assert re.search(r"<details open[^>]*>(?:(?!</details>).)*" + f'id="{target[1:]}"', page.read_text(), re.S) is None
    shown = browser.show(page.as_uri() + target)
    assert re.search(r"<details open[^>]*>(?:(?!</details>).)*" + f'id="{target[1:]}"', shown.dom, re.S)


@pytest.mark.parametrize(("name", "most_pages"), [("small", 3), ("large", 10), ("stopped", 30)])
def test_paper_has_it_all(browser: Browser, pages: dict[str, Path], pictures: Path, name: str, most_pages: int) -> None:
    """What is folded on the screen too."""
    target = pictures / f"{name}.pdf"
    text = " ".join(browser.print(pages[name], target).split())
    markup = Markup(pages[name].read_text(encoding="utf-8"))
    remedies = {
        "small": "Power-cycle the node",
        "large": "Compare the DIMMs that the BMC lists",
        "stopped": "Remedy:",
    }
    assert remedies[name] in markup.text
    assert remedies[name] in text
    told = subprocess.run(["pdfinfo", str(target)], capture_output=True, text=True, check=True).stdout
    assert "(A4)" in told
    count = re.search(r"^Pages:\s+(\d+)", told, re.MULTILINE)
    assert count and int(count[1]) <= most_pages, told


@pytest.mark.parametrize("name", ["small", "large", "stopped"])
def test_pictures_are_kept(browser: Browser, pages: dict[str, Path], pictures: Path, name: str) -> None:
    assert browser.picture(pages[name], pictures / f"{name}-desk.png", 1280, 1800) == (1280, 1800)
    browser.picture(pages[name], pictures / f"{name}-dark.png", 1280, 1800, DARK)
    browser.phone_picture(pages[name], pictures / f"{name}-phone.png", PHONE, 1800)
    assert all((pictures / f"{name}-{kind}.png").stat().st_size > 20_000 for kind in ("desk", "dark", "phone"))
