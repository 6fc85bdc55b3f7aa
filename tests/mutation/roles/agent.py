# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What watches a machine between runs: node_agent."""

from __future__ import annotations

from .scenario import NEVER, broken

MUTANTS = [
    broken(
        "node_agent",
        "timers",
        "node_agent/tasks/install.yml",
        "nothing starts the agent",
        '    common_services: "{{ __node_agent_services }}"\n',
        "",
        "test_timers_are_active",
    ),
    broken(
        "node_agent",
        "first pass",
        "node_agent/tasks/install.yml",
        "a class that has changed is not judged by until the timers come",
        "when: __node_agent_info.judged_by[item] != __node_agent_built.class_sha256",
        NEVER,
        "test_a_class_that_has_changed",
    ),
    broken(
        "node_agent",
        "metrics",
        "node_agent/templates/service.j2",
        "passes write no metrics",
        " --metrics {{ __node_agent_metrics }}",
        "",
        "test_it_is_taken_away_and_comes_back or test_metrics",
    ),
]
