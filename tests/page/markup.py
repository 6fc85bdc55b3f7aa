# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Read a page as strictly as a person who looks for mistakes in it."""

from __future__ import annotations

from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

VOID = {"meta", "br", "hr", "img", "link", "input"}
# What makes a browser fetch or run something.
REACHING = {"script", "link", "img", "iframe", "object", "embed", "form", "base", "audio", "video", "svg"}


class Markup(HTMLParser):
    """Elements, ids, links and text of a page. An AssertionError says where one is not closed as it was opened."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.ids: list[str] = []
        self.links: list[str] = []
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.texts: list[str] = []
        self._open: list[str] = []
        self.feed(page)
        self.close()
        assert not self._open, f"never closed: {self._open}"

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.texts).split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = [name for name, _value in attrs]
        assert len(names) == len(set(names)), f"<{tag}> has an attribute twice: {attrs}"
        known = {name: value or "" for name, value in attrs}
        self.elements.append((tag, known))
        if "id" in known:
            self.ids.append(known["id"])
        if "href" in known:
            self.links.append(known["href"])
        if tag not in VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open, f"</{tag}> closes nothing"
        assert self._open.pop() == tag, f"</{tag}> at {self.getpos()} closes another element"

    def handle_data(self, data: str) -> None:
        if not self._open or self._open[-1] != "style":
            self.texts.append(data)

    def of_class(self, name: str) -> list[dict[str, str]]:
        return [known for _tag, known in self.elements if name in known.get("class", "").split()]


def read(page: str, directory: Path) -> Markup:
    """The page, found whole: every id once, every link leads somewhere within `directory`, nothing from outside."""
    markup = Markup(page)
    assert len(markup.ids) == len(set(markup.ids)), "an id is there twice"
    for link in markup.links:
        if link.startswith("#"):
            assert link[1:] in markup.ids, f"{link} leads nowhere"
        else:
            target = (directory / unquote(link)).resolve()
            assert directory.resolve() in target.parents, f"{link} leads out of the run"
            assert target.is_file(), f"{link} leads nowhere"
    assert not {tag for tag, _known in markup.elements} & REACHING
    assert not [name for _tag, known in markup.elements for name in known if name.startswith("on") or name == "src"]
    assert not [word for word in ("url(", "@import") if word in page]
    return markup
