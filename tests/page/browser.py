# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Headless Chromium as a command: pictures, prints, the DOM after parsing, and measures taken inside a page."""

from __future__ import annotations

import html
import json
import re
import struct
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# Seconds; a start takes about two on an idle machine, and this one may be at its limit.
DEADLINE = 180
DARK = "--blink-settings=preferredColorScheme=0"
POLICY = re.compile(r"<meta http-equiv=\"Content-Security-Policy\"[^>]*>")

# Runs in a copy of a page, with everything unfolded: how wide it is, what sticks out, what is hard to read.
PROBE = """
addEventListener("load", () => {
  for (const details of document.querySelectorAll("details")) details.open = true;
  const width = document.documentElement.clientWidth;
  const channels = colour => colour.match(/[\\d.]+/g).map(Number);
  const luminance = colour => {
    const linear = channels(colour).slice(0, 3).map(part => part / 255)
      .map(part => part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4);
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2];
  };
  const background = element => {
    for (let at = element; at; at = at.parentElement) {
      const colour = getComputedStyle(at).backgroundColor;
      if (channels(colour)[3] !== 0) return colour;
    }
    return "rgb(255, 255, 255)";
  };
  const contrast = element => {
    const [dark, light] = [getComputedStyle(element).color, background(element)].map(luminance).sort((a, b) => a - b);
    return (light + 0.05) / (dark + 0.05);
  };
  const shown = [...document.body.querySelectorAll("*")].filter(element => element.getClientRects().length);
  const speaks = element => [...element.childNodes].some(node => node.nodeType == 3 && node.data.trim());
  const speaking = shown.filter(speaks);
  const name = element => `${element.tagName}.${element.className}: ${element.textContent.trim().slice(0, 60)}`;
  parent.postMessage(JSON.stringify({
    width,
    scroll_width: document.documentElement.scrollWidth,
    sticking_out: shown.filter(element => element.getBoundingClientRect().right > width + 0.5).map(name),
    faint: speaking.filter(element => contrast(element) < 4.5).map(name),
    small: speaking.filter(element => parseFloat(getComputedStyle(element).fontSize) < 10).map(name),
    background: luminance(background(document.body)),
    texts: speaking.length,
  }), "*");
});
"""
FRAME = """<!DOCTYPE html><meta charset="utf-8">
<style>body {{ margin: 0 }} iframe {{ border: 0; display: block }}</style>
<iframe src="{page}" style="width: {width}px; height: {height}px"></iframe><pre id="told"></pre>
<script>addEventListener("message", event => document.getElementById("told").textContent = event.data)</script>
"""


@dataclass(frozen=True)
class Shown:
    """The DOM after parsing, serialised, and what the page wrote to the console."""

    dom: str
    console: list[str]


class Browser:
    """Every call starts a browser of its own and ends it. Raises AssertionError with its words where it fails."""

    def __init__(self, program: str, profile: Path) -> None:
        self._command = [
            program,
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--disable-background-networking",
            "--disable-component-update",
            "--no-first-run",
            "--hide-scrollbars",
            "--enable-logging=stderr",
            f"--user-data-dir={profile}",
        ]

    def show(self, address: str, *options: str) -> Shown:
        done = self._run("--virtual-time-budget=10000", "--dump-dom", *options, address)
        return Shown(done.stdout, [line for line in done.stderr.splitlines() if ":CONSOLE" in line])

    def picture(self, page: Path, target: Path, width: int, height: int, *options: str) -> tuple[int, int]:
        """Keep a screenshot of `page`; returns the size that it has."""
        target.unlink(missing_ok=True)
        self._run(f"--window-size={width},{height}", f"--screenshot={target}", *options, page.as_uri())
        header = target.read_bytes()[:24]
        assert header.startswith(b"\x89PNG")
        return struct.unpack(">II", header[16:24])

    def phone_picture(self, page: Path, target: Path, width: int, height: int) -> None:
        """The same of a page as wide as a phone: a window cannot be as narrow, a frame in it can."""
        frame = page.with_name(f"{page.stem}-frame.html")
        frame.write_text(FRAME.format(page=page.name, width=width, height=height), encoding="utf-8")
        self.picture(frame, target, max(width, 500), height)

    def print(self, page: Path, target: Path) -> str:
        """Keep the print of `page`; returns its text as a reader of the paper has it."""
        target.unlink(missing_ok=True)
        self._run("--no-pdf-header-footer", f"--print-to-pdf={target}", page.as_uri())
        return subprocess.run(
            ["pdftotext", "-layout", str(target), "-"], capture_output=True, text=True, check=True, timeout=DEADLINE
        ).stdout

    def measure(self, page: Path, width: int, *options: str) -> dict[str, Any]:
        """What PROBE says of a copy of `page` in a frame of `width` pixels."""
        copy = page.with_name(f"{page.stem}-probe.html")
        text, removed = POLICY.subn("", page.read_text(encoding="utf-8"))
        assert removed == 1, "the page has no policy, which the probe would have to be excepted from"
        copy.write_text(text.replace("</head>", f"<script>{PROBE}</script></head>"), encoding="utf-8")
        frame = page.with_name(f"{page.stem}-frame.html")
        frame.write_text(FRAME.format(page=copy.name, width=width, height=2000), encoding="utf-8")
        shown = self.show(frame.as_uri(), "--window-size=1400,2000", *options)
        told = re.search(r'<pre id="told">(.+?)</pre>', shown.dom, re.DOTALL)
        assert told, f"the probe said nothing: {shown.console}"
        measured: dict[str, Any] = json.loads(html.unescape(told[1]))
        assert measured["width"] == width
        assert measured["texts"] > 20, "the probe saw no page"
        return measured

    def _run(self, *options: str) -> subprocess.CompletedProcess[str]:
        done = subprocess.run([*self._command, *options], capture_output=True, text=True, timeout=DEADLINE, check=False)
        assert done.returncode == 0, done.stderr[-3000:]
        return done
