# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The report as a page for people: one HTML file that needs nothing beside it.

`view` turns the report document (schemas/report.schema.json) into what the page shows, in the order in which it
shows it; `render` lays that out with report_page.html.j2. Neither reads anything but the document and the template.
Texts in the document come from machines: the template escapes them all, and `clean` takes out what would still act.
"""

from __future__ import annotations

import datetime
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import jinja2

from ..module_utils.catalog.checks import CHECKS
from ..module_utils.findings import Verdict, worst
from ..module_utils.lifecycle.report import ADMITTED, STATES, UNJUDGED, passed_words

TEMPLATE = Path(__file__).with_name("report_page.html.j2")
# In the order in which the page shows them; each is one of catalog/model.py.
OWNERS = {
    "datacentre": "hands on the machine",
    "vendor": "parts and their firmware",
    "network": "the fabric",
    "software": "what runs on the nodes",
    "user": "who runs jobs",
}
# Every state and verdict has a sign, so that nobody needs to see colours.
SIGNS = {
    "admitted": "✓",
    "set_aside": "✕",
    "unreachable": "?",
    "deferred": "…",
    "unjudged": "·",
    "fail": "✕",
    "unknown": "?",
    "warn": "!",
    "waived": "~",
}
OUT = ("set_aside", "unreachable")
# Up to this many findings are shown unfolded; more would push the nodes off the first screen.
UNFOLDED = 8
# Characters of one value of a finding that the page shows; report.json has it whole.
VALUE_LIMIT = 2000
FIRST_WORDS = 160
# A fleet of this size has its nodes labelled by what tells their names apart.
LARGE = 40


@dataclass(frozen=True)
class Link:
    text: str
    href: str


@dataclass(frozen=True)
class Member:
    """One node, or the site, that a finding is about; with what proves it there."""

    name: str
    href: str
    place: str
    serial: str
    evidence: list[tuple[str, str]]
    links: list[Link]


@dataclass(frozen=True)
class Fact:
    """Findings that say the same of one or more nodes."""

    anchor: str
    component: str
    verdict: str
    sign: str
    phase: str
    summary: str
    observed: str
    expected: str
    remedy: str
    members: list[Member]


@dataclass(frozen=True)
class CheckGroup:
    """All facts of one check. `remedy` where it is the same for all of them; then the facts carry none.

    `summary` is what the worst of them says, `more` how many others there are; `title` what should be.
    """

    check: str
    title: str
    summary: str
    more: int
    verdict: str
    sign: str
    remedy: str
    members: list[Link]
    facts: list[Fact]


@dataclass(frozen=True)
class OwnerGroup:
    """What one owner has to do. `nodes` counts those that it concerns."""

    anchor: str
    owner: str
    role: str
    nodes: int
    checks: list[CheckGroup]


@dataclass(frozen=True)
class Section:
    owners: list[OwnerGroup]
    unfolded: bool


@dataclass(frozen=True)
class Cell:
    label: str
    name: str
    state: str
    sign: str
    warned: bool
    href: str
    title: str


@dataclass(frozen=True)
class Rack:
    name: str
    out: int
    cells: list[Cell]


@dataclass(frozen=True)
class NodeRow:
    anchor: str
    name: str
    state: str
    label: str
    sign: str
    place: str
    node_class: str
    serial: str
    passed: int
    findings: list[tuple[Link, str]]


@dataclass(frozen=True)
class PhaseRow:
    name: str
    duration: str
    percent: float
    nodes_in: int
    nodes_out: int
    lost: int
    gate: str


@dataclass(frozen=True)
class Count:
    state: str
    label: str
    sign: str
    count: int
    percent: float


@dataclass(frozen=True)
class Stop:
    phase: str
    task: str
    hosts: str
    message: str


@dataclass(frozen=True)
class Service:
    name: str
    state: str
    label: str


@dataclass(frozen=True)
class Page:
    """What the page shows. `tone` is `good`, `bad` or `neutral`."""

    headline: str
    tone: str
    sign: str
    playbook: str
    run: str
    check_mode: bool
    started: str
    duration: str
    total: int
    counts: list[Count]
    exit: str
    stops: list[Stop]
    blocking: Section
    advisory: Section
    racks: list[Rack]
    compact: bool
    nodes: list[NodeRow]
    phases: list[PhaseRow]
    services: list[Service]


def render(report: Mapping[str, Any]) -> str:
    """The page of a report document, as text of an HTML file that lies beside report.json."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATE.parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    return environment.get_template(TEMPLATE.name).render(page=view(report))


def view(report: Mapping[str, Any]) -> Page:
    document: dict[str, Any] = clean(report)
    nodes: dict[str, dict[str, Any]] = document["nodes"]
    told = _Told(nodes, document["site"])
    blocking = told.section(lambda verdict: not verdict.allocatable, "act")
    advisory = told.section(lambda verdict: verdict.allocatable, "look")
    became, label = passed_words([phase["name"] for phase in document["phases"]])
    headline, tone = _headline(document, became)
    began, ended = (datetime.datetime.fromisoformat(document[key]) for key in ("started", "ended"))
    return Page(
        headline=headline,
        tone=tone,
        sign={"good": "✓", "bad": "✕", "neutral": "…"}[tone],
        playbook=document["playbook"],
        run=document["run"],
        check_mode=document["check_mode"],
        started=f"{began:%Y-%m-%d %H:%M:%S} UTC",
        duration=duration((ended - began).total_seconds()),
        total=len(nodes),
        counts=_counts(document["summary"], label),
        exit=_exit(document),
        stops=[
            Stop(task["phase"], task["task"], ", ".join(task["hosts"]), task["message"])
            for task in document["stopped_by"]
        ],
        blocking=blocking,
        advisory=advisory,
        racks=_racks(nodes, told.href),
        compact=len(nodes) > LARGE,
        nodes=told.rows(),
        phases=_phases(document["phases"]),
        services=[
            Service(name, service["state"], service["state"].replace("_", " "))
            for name, service in document["services"].items()
        ],
    )


# -- texts of machines ---------------------------------------------------------------------------

# Control characters but newline and tab, marks that change the direction of text, halves of surrogate pairs.
_ACTING = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def clean(value: Any) -> Any:
    """A JSON value whose texts show what they hold: characters that act instead of showing become U+FFFD."""
    if isinstance(value, str):
        return _ACTING.sub("\ufffd", value.replace("\r\n", "\n"))
    if isinstance(value, Mapping):
        return {clean(key): clean(item) for key, item in value.items()}
    if isinstance(value, Sequence):
        return [clean(item) for item in value]
    return value


def shown(value: Any) -> str:
    """A JSON value as a person reads it; nothing for null. Of a list of more than plain values each has its line."""
    text = "" if value is None else _plain(value)
    return text if len(text) <= VALUE_LIMIT else f"{text[:VALUE_LIMIT]} … (report.json has it whole)"


def _plain(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, Mapping):
        return ", ".join(f"{key}: {_plain(item)}" for key, item in value.items()) or "none"
    if isinstance(value, Sequence):
        nested = any(isinstance(item, (Mapping, list)) for item in value)
        return ("\n" if nested else ", ").join(_plain(item) for item in value) or "none"
    return json.dumps(value)


def first_words(text: str) -> str:
    """As much of a text as fits where everything is to be seen at once."""
    line = " ".join(text.split())
    return line if len(line) <= FIRST_WORDS else f"{line[:FIRST_WORDS]} …"


def duration(seconds: float) -> str:
    """`3.8 s`, `54 s`, `4 min 12 s`, `2 h 05 min`."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02} min"


def natural(text: str) -> list[tuple[int, str]]:
    """A sort key by which node9 comes before node10."""
    return [(int(part), "") if part.isdecimal() else (0, part) for part in re.split(r"(\d+)", text) if part]


def href(path: str) -> str:
    """A link to a file beside the page."""
    return quote(path)


def node_anchor(name: str) -> str:
    return f"node-{quote(name, safe='')}"


# -- summary -------------------------------------------------------------------------------------


def _headline(document: Mapping[str, Any], became: str) -> tuple[str, str]:
    """The one sentence to read, and its tone. `became`: what a node is that passed."""
    summary, completed = document["summary"], document["completed"]
    total, out, deferred = summary["total"], summary["set_aside"] + summary["unreachable"], summary["deferred"]
    if not total:
        return "No node was in this run", "neutral" if completed else "bad"
    if not completed and summary["unjudged"] == total:
        last = document["phases"][-1]["name"] if document["phases"] else "the beginning"
        return f"Stopped in {last}: no node was judged", "bad"
    if out:
        return f"{_of(out, total)} out", "bad"
    if not completed:
        unjudged = f", {summary['unjudged']} not judged" if summary["unjudged"] else ""
        return f"The run failed; no node is out{unjudged}", "bad"
    if document["check_mode"] or deferred:
        told = f"{deferred} of {total} not deployed yet" if deferred else "nothing was changed"
        return f"Check mode: {told}", "neutral"
    return f"{_of(total, total)} {became}", "good"


def _of(count: int, total: int) -> str:
    if total == 1:
        return "The node is"
    if count == total:
        return f"All {total} nodes are"
    return f"{count} of {total} nodes {'is' if count == 1 else 'are'}"


def _counts(summary: Mapping[str, int], passed: str) -> list[Count]:
    labels = {state: state.replace("_", " ") for state in STATES} | {ADMITTED: passed, UNJUDGED: "not judged"}
    total = max(summary["total"], 1)
    return [
        Count(state, label, SIGNS[state], summary[state], round(100 * summary[state] / total, 3))
        for state, label in labels.items()
    ]


def _exit(document: Mapping[str, Any]) -> str:
    counted = {"admit", "health"} & {phase["name"] for phase in document["phases"]}
    if not document["completed"]:
        return "Exit status not 0: too few nodes are fit, or something stopped the run."
    if document["check_mode"] or not counted:
        return "Exit status 0: nothing stopped the run."
    return "Exit status 0: nothing stopped the run, and enough nodes are fit."


def _phases(phases: Sequence[Mapping[str, Any]]) -> list[PhaseRow]:
    longest = max((phase["seconds"] for phase in phases), default=0) or 1
    return [
        PhaseRow(
            name=phase["name"],
            duration=duration(phase["seconds"]),
            percent=round(100 * phase["seconds"] / longest, 1),
            nodes_in=phase["nodes_in"],
            nodes_out=phase["nodes_out"],
            lost=phase["nodes_in"] - phase["nodes_out"],
            gate=href(phase["gate"]),
        )
        for phase in phases
    ]


# -- nodes ---------------------------------------------------------------------------------------


def _racks(nodes: Mapping[str, Mapping[str, Any]], link: Callable[[str], str]) -> list[Rack]:
    """Racks in the order of their names, and in each the nodes from the highest unit down, as they stand."""
    shortened = _labels(list(nodes)) if len(nodes) > LARGE else {name: name for name in nodes}
    racks: dict[str, list[tuple[str, str]]] = {}
    for name, node in nodes.items():
        rack, _slash, unit = node["location"].rpartition("/")
        racks.setdefault(rack, []).append((unit, name))
    return [
        Rack(
            name=rack,
            out=sum(nodes[name]["state"] in OUT for _unit, name in places),
            cells=[_cell(name, nodes[name], shortened[name], link(name)) for _unit, name in _standing(places)],
        )
        for rack, places in sorted(racks.items(), key=lambda item: natural(item[0]))
    ]


def _standing(places: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    by_name = sorted(places, key=lambda place: natural(place[1]))
    return sorted(by_name, key=lambda place: natural(place[0]), reverse=True)


def _labels(names: list[str]) -> dict[str, str]:
    """The names without what all of them begin with; numbers are never cut."""
    first, last = min(names), max(names)
    length = next((at for at, pair in enumerate(zip(first, last, strict=False)) if pair[0] != pair[1]), len(first))
    shared = re.sub(r"\d+$", "", first[:length])
    return {name: name.removeprefix(shared) or name for name in names}


def _cell(name: str, node: Mapping[str, Any], label: str, link: str) -> Cell:
    state = node["state"]
    warned = state == "admitted" and bool(node["findings"])
    told = [f"{item['verdict']} {item['check']} {item['component']}" for item in node["findings"][:3]]
    more = len(node["findings"]) - len(told)
    parts = [name, state.replace("_", " "), node["location"], node["serial"], *told, f"and {more} more" if more else ""]
    return Cell(
        label=label,
        name=name,
        state=state,
        sign=SIGNS["warn"] if warned else SIGNS[state],
        warned=warned,
        href=link,
        title=" · ".join(part for part in parts if part),
    )


# -- findings ------------------------------------------------------------------------------------

_Item = tuple[str, dict[str, Any]]


class _Told:
    """All findings of a report, and where the page shows each."""

    def __init__(self, nodes: Mapping[str, Mapping[str, Any]], site: Sequence[dict[str, Any]]) -> None:
        self._nodes = nodes
        self._items: list[_Item] = [
            (name, item) for name in sorted(nodes, key=natural) for item in nodes[name]["findings"]
        ]
        self._items += [("", item) for item in site]
        self._anchors: dict[str, str] = {}
        # Of a node that no phase judged there is no more to say than the finding that all of them share.
        self._rows = {name for name, item in self._items if item["files"]}

    def section(self, wanted: Callable[[Verdict], bool], anchor: str) -> Section:
        """Findings of the wanted verdicts by owner, in it by check, in it by what they say; the worst first."""
        items = [item for item in self._items if wanted(Verdict(item[1]["verdict"]))]
        order = list(OWNERS)
        owners = sorted(
            _grouped(items, lambda item: item[1]["owner"]).items(),
            key=lambda group: (order.index(group[0]) if group[0] in order else len(order), group[0]),
        )
        groups = [
            OwnerGroup(
                anchor=f"{anchor}-{number}",
                owner=owner or "nobody named",
                role=OWNERS.get(owner, ""),
                nodes=len({name for name, _item in told if name}),
                checks=self._checks(told),
            )
            for number, (owner, told) in enumerate(owners, 1)
        ]
        return Section(groups, len(items) <= UNFOLDED)

    def _checks(self, items: Sequence[_Item]) -> list[CheckGroup]:
        checks = [
            self._check(check, told) for check, told in _grouped(items, lambda item: str(item[1]["check"])).items()
        ]
        rank = list(Verdict)
        return sorted(checks, key=lambda group: (-rank.index(Verdict(group.verdict)), -len(group.members), group.check))

    def _check(self, check: str, items: Sequence[_Item]) -> CheckGroup:
        facts = [self._fact(told) for told in _grouped(items, _said).values()]
        facts.sort(key=lambda fact: -list(Verdict).index(Verdict(fact.verdict)))
        remedies = {fact.remedy for fact in facts}
        shared = remedies.pop() if len(remedies) == 1 else ""
        verdict = worst(Verdict(fact.verdict) for fact in facts).value
        return CheckGroup(
            check=check,
            title=CHECKS[check].title if check in CHECKS else "",
            summary=first_words(facts[0].summary),
            more=len(facts) - 1,
            verdict=verdict,
            sign=SIGNS[verdict],
            remedy=shared,
            members=[
                Link(name or "the site", self._href(name)) for name in dict.fromkeys(name for name, _item in items)
            ],
            facts=[_without_remedy(fact) for fact in facts] if shared else facts,
        )

    def _fact(self, items: Sequence[_Item]) -> Fact:
        first = items[0][1]
        anchor = self._anchors.setdefault(_said(items[0]), f"finding-{len(self._anchors) + 1}")
        return Fact(
            anchor=anchor,
            component=first["component"],
            verdict=first["verdict"],
            sign=SIGNS[first["verdict"]],
            phase=first["phase"],
            summary=first["summary"],
            observed=shown(first["observed"]),
            expected=shown(first["expected"]),
            remedy=first["remedy"],
            members=[self._member(name, item) for name, item in items],
        )

    def _member(self, name: str, item: Mapping[str, Any]) -> Member:
        node = self._nodes.get(name, {})
        return Member(
            name=name or "the site",
            href=self._href(name),
            place=node.get("location", "").strip("/"),
            serial=node.get("serial", ""),
            evidence=[(key, shown(value)) for key, value in item["evidence"].items()],
            links=[Link(file.rpartition("/")[2], href(file)) for file in item["files"]],
        )

    def _href(self, name: str) -> str:
        return f"#{node_anchor(name)}" if name in self._rows and name else ""

    def href(self, name: str) -> str:
        """Where the page says most of a node; empty where it says nothing. After the sections were made."""
        first = next((self._anchors[_said((name, item))] for item in self._nodes[name]["findings"]), "")
        return self._href(name) or (f"#{first}" if first else "")

    def rows(self) -> list[NodeRow]:
        """Nodes that there is something to say of: the bad ones first, then by name. After the sections were made."""
        nodes = {name: node for name, node in self._nodes.items() if name in self._rows}
        states = ("unreachable", "set_aside", "unjudged", "deferred", "admitted")
        return [
            NodeRow(
                anchor=node_anchor(name),
                name=name,
                state=node["state"],
                label=node["state"].replace("_", " "),
                sign=SIGNS[node["state"]],
                place=node["location"].strip("/"),
                node_class=node["class"],
                serial=node["serial"],
                passed=node["passed"],
                findings=[
                    (Link(_short(item), f"#{self._anchors[_said((name, item))]}"), item["verdict"])
                    for item in node["findings"]
                ],
            )
            for name, node in sorted(
                nodes.items(), key=lambda entry: (states.index(entry[1]["state"]), natural(entry[0]))
            )
        ]


def _grouped(items: Iterable[_Item], key: Callable[[_Item], str]) -> dict[str, list[_Item]]:
    groups: dict[str, list[_Item]] = {}
    for item in items:
        groups.setdefault(key(item), []).append(item)
    return groups


def _said(item: _Item) -> str:
    """What a finding says, without whom it is about and what proves it there."""
    keys = ("owner", "check", "component", "verdict", "summary", "observed", "expected", "remedy", "phase")
    return json.dumps([item[1][key] for key in keys], sort_keys=True)


def _without_remedy(fact: Fact) -> Fact:
    return Fact(**(vars(fact) | {"remedy": ""}))


def _short(item: Mapping[str, Any]) -> str:
    return item["check"] if item["component"] == "host" else f"{item['check']} {item['component']}"
