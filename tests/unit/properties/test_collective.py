# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Output of nccl-tests and what is made of it: no text crashes the parser, and none but a whole good one is good."""

from __future__ import annotations

import json
import math

import pytest
from ansible_collections.firstlight.cluster.plugins.module_utils.collective import nccl_tests
from ansible_collections.firstlight.cluster.plugins.module_utils.collective.judge import judge_intra
from ansible_collections.firstlight.cluster.plugins.module_utils.collective.measure import (
    Measurement,
    Status,
    _why_bad,
)
from ansible_collections.firstlight.cluster.plugins.module_utils.collective.nccl_tests import Output, Parser, parse
from ansible_collections.firstlight.cluster.plugins.module_utils.findings import Verdict
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.properties.junk import NASTY, TEXTS, mutated

ROW = "  1073741824     268435456     float     sum      -1   4200.5  255.62  447.33  0   4199.1  255.70  447.48  0"
GOOD = f"""# nThread 1 nGpus 2 minBytes 8 maxBytes 1073741824 step: 2(factor) warmup iters: 5 iters: 20 agg iters: 1
# Using devices
#  Rank  0 Group  0 Pid  52 on node01 device  0 [0000:18:00] NVIDIA H100 80GB HBM3
#  Rank  1 Group  0 Pid  52 on node01 device  1 [0000:2a:00] NVIDIA H100 80GB HBM3
#       size         count      type   redop    root     time   algbw   busbw #wrong     time   algbw   busbw #wrong
#        (B)    (elements)                               (us)  (GB/s)  (GB/s)            (us)  (GB/s)  (GB/s)
           8             2     float     sum      -1    25.31    0.00    0.00      0    24.90    0.00    0.00      0
{ROW}
# Out of bounds values : 0 OK
# Avg bus bandwidth    : 223.7
#
"""
FLOOR = 440.0


def measured(output: Output, returncode: int = 0) -> Measurement:
    """As `Collective.run` makes it of a run that ended by itself."""
    detail = _why_bad(output, (), returncode, None, ranks=2)
    status = Status.FAILED if detail else Status.OK
    return Measurement(("node01",), status, output.busbw, output.average_busbw, detail)


def test_the_sample_is_good() -> None:
    """Else nothing below says anything."""
    assert judge_intra(measured(parse(GOOD.splitlines())), FLOOR).verdict is Verdict.PASS


@given(mutated(GOOD, ROW) | TEXTS)
def test_any_output_is_read(text: str) -> None:
    output = parse(text.split("\n"))
    json.dumps(output.to_dict(), allow_nan=False)
    assert output.busbw is None or (math.isfinite(output.busbw) and output.busbw >= 0)
    assert output.wrong >= 0


@given(st.sampled_from(NASTY), st.integers(0, 12), st.sampled_from(GOOD.splitlines()))
def test_any_word_in_the_place_of_any_other_is_read(word: str, place: int, line: str) -> None:
    words = line.split()
    words[place % max(1, len(words)) : place % max(1, len(words)) + 1] = [word]
    parse([" ".join(words)])


@given(st.integers(0, len(GOOD) - 1))
def test_an_output_that_is_cut_off_is_never_good(length: int) -> None:
    output = parse(GOOD[:length].splitlines())
    judged = judge_intra(measured(output), FLOOR)
    complete = "# Avg bus bandwidth    : 2" in GOOD[:length]
    assert (judged.verdict is Verdict.PASS) <= complete
    assert judge_intra(measured(output, returncode=1), FLOOR).verdict is not Verdict.PASS


@given(TEXTS)
def test_junk_is_never_a_good_run(text: str) -> None:
    assert judge_intra(measured(parse(text.split("\n"))), FLOOR).verdict is not Verdict.PASS


@given(st.permutations([line for line in GOOD.splitlines() if line.strip()]))
def test_the_order_of_lines_does_not_matter(lines: list[str]) -> None:
    """Ranks of several hosts and NCCL's logging come as they come."""
    assert parse(lines).to_dict() == parse(GOOD.splitlines()).to_dict()


@given(st.lists(st.sampled_from(["node01:52:81 [0] NCCL INFO Channel 00/24", "", "NCCL version 2.27.7+cuda12.9"])))
def test_logging_between_the_lines_changes_nothing(noise: list[str]) -> None:
    lines = GOOD.splitlines()
    for place, line in enumerate(noise):
        lines.insert(place * 2 % len(lines), line)
    assert parse(lines).to_dict() == parse(GOOD.splitlines()).to_dict()


@pytest.mark.parametrize("line", ["NCCL WARN no route", ROW, "node01 NCCL INFO Channel 1", "# Rank " * 10, "#" * 300])
def test_what_is_kept_of_a_long_output_is_bounded(line: str) -> None:
    parser = Parser()
    for number in range(20_000):
        parser.feed(f"{line} {number}")
    assert len(parser.output.failures) <= nccl_tests._FAILURES_KEPT
    assert sum(map(len, parser.output.failures)) <= 500 * nccl_tests._FAILURES_KEPT
