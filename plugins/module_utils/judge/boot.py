# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Why a machine did not come up: exactly one finding for what is known of it.

Evidence is JSON; whatever was not read is absent or None, and is then neither good nor bad:

    bmc      {"answers": bool, "kind": "Untrusted" | "Unauthorized" | other, "error": text}
    power    {"ordered": bool (somebody switched it on), "state": "On" | "Off", "supplies_ok": bool}
    post     {"done": bool, "seconds": number since power on, "waited": number that others have waited, "state": text}
    nic      {"mac": text, "link": bool}                       the NIC that boots
    boot     {"first": "pxe" | "disk" | ..., "network_once": bool, "network": bool (there is an option for it)}
    dhcp     {"lease": bool, "address": text}                  since the last start
    disks    {"seen": {serial: device or None}, "names": {serial: device} as the last commissioning found them,
              "wanted": serial, "installed_as": device}
    maas     {"status": name, "event": text, "errors": [text], "power_error": text,
              "scripts": [{"name", "status", "exit_status"}]}
    clock    {"offset_seconds": number, "of": "BMC" where it is that of the BMC only}
    tls      {"error": text}
    ssh      {"answers": bool, "error": text}
    limits   {"post_seconds": number, "clock_seconds": number}  where they are not the ones below

A machine is only judged here when it did not come up, so no finding passes: where nothing known explains it, the
finding is `boot.unexplained`, unknown, and says what was ruled out and what is not known.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from ..catalog.boot import UNEXPLAINED
from ..catalog.checks import finding
from ..findings import Finding, Verdict

Evidence = Mapping[str, Any]
Cause = tuple[str, str, str, Any, Any]
"""Check id, component, summary, observed, expected."""

# What MAAS does over the network: a machine in these states starts from there.
_OVER_NETWORK = (
    "New",
    "Commissioning",
    "Failed commissioning",
    "Testing",
    "Failed testing",
    "Deploying",
    "Failed deployment",
    "Entering rescue mode",
    "Disk erasing",
    "Failed disk erasing",
)
_FAILED_SCRIPT = ("failed", "timed out", "degraded", "failed to install", "failed applying network configuration")
_CERTIFICATE = re.compile(
    r"certificate verify failed|certificate has expired|not yet valid|self.signed certificate|unknown authority|x509:",
    re.IGNORECASE,
)
POST_SECONDS = 1800.0  # two TiB of memory are trained and tested within twenty minutes
CLOCK_SECONDS = 300.0  # MAAS refuses requests whose time is further off, and certificates begin to be invalid


def explain(evidence: Evidence) -> Finding:
    """The one finding for a machine that did not come up."""
    ruled_out: list[str] = []
    not_known: list[str] = []
    for name, rule in RULES:
        try:
            cause = rule(evidence)
        except LookupError:
            not_known.append(name)
            continue
        except (TypeError, ValueError, AttributeError) as error:
            not_known.append(f"{name} (unusable: {error})")
            continue
        if cause is not None:
            check, component, summary, observed, expected = cause
            return finding(
                check,
                component,
                Verdict.FAIL,
                summary,
                observed=observed,
                expected=expected,
                evidence={**evidence, "ruled_out": ruled_out, "not_known": not_known},
            )
        ruled_out.append(name)
    return _unexplained(evidence, ruled_out, not_known)


def _unexplained(evidence: Evidence, ruled_out: list[str], not_known: list[str]) -> Finding:
    said = _part(evidence, "maas").get("event")
    parts = [
        "the machine did not come up, and what is known of it does not say why",
        f"not known: {', '.join(not_known)}" if not_known else "",
        f"ruled out: {', '.join(ruled_out)}" if ruled_out else "",
        f"MAAS says: {said}" if said else "",
    ]
    return finding(
        UNEXPLAINED,
        "host",
        Verdict.UNKNOWN,
        "; ".join(part for part in parts if part),
        evidence={**evidence, "ruled_out": ruled_out, "not_known": not_known},
    )


def _part(evidence: Evidence, name: str) -> Mapping[str, Any]:
    part = evidence.get(name)
    return part if isinstance(part, Mapping) else {}


def _known(evidence: Evidence, name: str, key: str) -> Any:
    """A value that was read; raises LookupError where it was not."""
    value = _part(evidence, name).get(key)
    if value is None:
        raise LookupError(f"{name}.{key}")
    return value


def _flag(evidence: Evidence, name: str, key: str) -> bool:
    value = _known(evidence, name, key)
    if not isinstance(value, bool):
        raise TypeError(f"{name}.{key} is {value!r:.40}")
    return value


def _number(evidence: Evidence, name: str, key: str) -> float:
    value = _known(evidence, name, key)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"{name}.{key} is {value!r:.40}")
    return float(value)


def _limit(evidence: Evidence, key: str, default: float) -> float:
    value = _part(evidence, "limits").get(key)
    return default if value is None else _number(evidence, "limits", key)


def _needs_power(evidence: Evidence) -> None:
    """What a BMC tells of links and disks while the machine is off says nothing of them."""
    if _part(evidence, "power").get("state") == "Off":
        raise LookupError("the machine is off")


def _from_network(evidence: Evidence) -> bool:
    return _known(evidence, "maas", "status") in _OVER_NETWORK


def _has_lease(evidence: Evidence) -> bool:
    return _part(evidence, "dhcp").get("lease") is True


# -- the rules, each None where its cause is ruled out, LookupError where that is not known --------


def _script(evidence: Evidence) -> Cause | None:
    scripts = _known(evidence, "maas", "scripts")
    for script in scripts:
        if str(script.get("status", "")).lower() in _FAILED_SCRIPT:
            name, status = script.get("name"), script.get("status")
            summary = f"MAAS's script {name}: {status} (exit status {script.get('exit_status')})"
            return "boot.script", f"script:{name}", summary, status, "Passed"
    return None


def _bmc(evidence: Evidence) -> Cause | None:
    kind, error = _part(evidence, "bmc").get("kind"), _part(evidence, "bmc").get("error") or "it does not answer"
    told = _part(evidence, "maas").get("power_error")
    if told and _part(evidence, "bmc").get("answers") is None:
        # Nobody else asked it; MAAS did, and names the reason in words only.
        error = f"MAAS says: {told}"
        kind = "Unauthorized" if re.search(r"\b40[13]\b", error) else "Untrusted" if "certificate" in error else None
    elif _flag(evidence, "bmc", "answers"):
        return None
    check = {"Untrusted": "boot.bmc_certificate", "Unauthorized": "boot.bmc_login"}.get(str(kind))
    return check or "boot.bmc_unreachable", "bmc", f"the BMC cannot be asked: {error}", error, "an answer"


def _power(evidence: Evidence) -> Cause | None:
    if _part(evidence, "power").get("supplies_ok") is False:
        return "boot.no_power", "host", "the BMC says that power supplies are missing or bad", False, True
    state = _known(evidence, "power", "state")
    if _flag(evidence, "power", "ordered") and state != "On":
        return "boot.no_power", "host", f"the machine was switched on, and its power is {state}", state, "On"
    return None


def _post(evidence: Evidence) -> Cause | None:
    if _flag(evidence, "post", "done") or _has_lease(evidence):
        return None
    clock = "seconds" if _part(evidence, "post").get("seconds") is not None else "waited"
    seconds, state = _number(evidence, "post", clock), _part(evidence, "post").get("state") or "not told"
    limit = _limit(evidence, "post_seconds", POST_SECONDS)
    if seconds < limit:
        raise LookupError("the self-test still has time")
    summary = f"the firmware's self-test has not ended {seconds:.0f} s after power on (state: {state})"
    return "boot.post", "host", summary, state, f"done within {limit:g} s"


def _link(evidence: Evidence) -> Cause | None:
    if _has_lease(evidence) or _flag(evidence, "nic", "link"):
        return None
    _needs_power(evidence)
    mac = _part(evidence, "nic").get("mac") or "that boots"
    return "boot.no_link", f"nic:{mac}", f"the NIC {mac} has no link", "no link", "link"


def _order(evidence: Evidence) -> Cause | None:
    if not _from_network(evidence) or _has_lease(evidence):
        return None
    if _part(evidence, "boot").get("network") is False:
        return "boot.order", "host", "network boot is switched off: there is no boot option for it", [], "pxe"
    if _part(evidence, "boot").get("network_once") is True:
        return None
    first = _known(evidence, "boot", "first")
    if first == "pxe":
        return None
    status = _known(evidence, "maas", "status")
    summary = f"MAAS has it in {status}, which starts from the network, but the first in the boot order is {first}"
    return "boot.order", "host", summary, first, "pxe"


def _lease(evidence: Evidence) -> Cause | None:
    if not _from_network(evidence) or _flag(evidence, "dhcp", "lease"):
        return None
    return "boot.no_lease", "host", "no DHCP lease was given to it since its last start", None, "a lease"


def _disk(evidence: Evidence) -> Cause | None:
    seen = _part(evidence, "disks").get("seen")
    if seen is None:
        seen = _known(evidence, "disks", "names")
    else:
        _needs_power(evidence)
    if not seen:
        return "boot.no_disk", "host", "the machine has no disk", [], "a disk"
    wanted = _part(evidence, "disks").get("wanted")
    if wanted and wanted not in seen:
        there = ", ".join(sorted(map(str, seen)))
        summary = f"the disk {wanted} of the operating system is not there; there are {there}"
        return "boot.no_disk", f"disk:{wanted}", summary, sorted(seen), wanted
    return None


def _disk_name(evidence: Evidence) -> Cause | None:
    wanted, name = _known(evidence, "disks", "wanted"), _known(evidence, "disks", "installed_as")
    # A BMC knows disks, and not what the operating system calls them.
    named = [_part(evidence, "disks").get(key) or {} for key in ("names", "seen")]
    now = next((each[wanted] for each in named if each.get(wanted) is not None), None)
    if now is None:
        raise LookupError("disks.names has no device for it")
    if now == name:
        return None
    summary = f"the disk {wanted} of the operating system was {name} when it was installed, and is {now} now"
    return "boot.disk_changed", f"disk:{wanted}", summary, now, name


def _clock(evidence: Evidence) -> Cause | None:
    offset = _number(evidence, "clock", "offset_seconds")
    limit = _limit(evidence, "clock_seconds", CLOCK_SECONDS)
    if abs(offset) < limit:
        return None
    of_bmc = _part(evidence, "clock").get("of") == "BMC"
    if of_bmc and not _refused_certificates(evidence):
        # Many BMCs keep a time of their own that nobody ever set; it counts where something suffered from the time.
        raise LookupError("only the BMC's clock is known")
    which = "its BMC's clock, and so probably its own," if of_bmc else "its clock"
    summary = f"{which} is {offset:+.0f} s off (at most {limit:g} s)"
    return "boot.clock", "host", summary, offset, {"below": limit}


def _certificate(evidence: Evidence) -> Cause | None:
    found = _refused_certificates(evidence)
    if found:
        return "boot.certificate", "host", f"a certificate was not accepted: {found[0]}", found[0], "trusted"
    if not _said(evidence):
        raise LookupError("tls.error")
    return None


def _said(evidence: Evidence) -> list[str]:
    """What TLS, MAAS's event and MAAS's errors say."""
    maas = _part(evidence, "maas")
    errors = maas.get("errors")
    texts = [_part(evidence, "tls").get("error"), maas.get("event"), *(errors if isinstance(errors, list) else [])]
    return [str(text) for text in texts if text]


def _refused_certificates(evidence: Evidence) -> list[str]:
    error = _part(evidence, "tls").get("error")
    return [text for text in _said(evidence) if text == error or _CERTIFICATE.search(text)]


def _ssh(evidence: Evidence) -> Cause | None:
    if _known(evidence, "maas", "status") != "Deployed" or _flag(evidence, "ssh", "answers"):
        return None
    error = _part(evidence, "ssh").get("error") or "no answer"
    return "boot.no_ssh", "host", f"MAAS deployed it, and it does not answer over ssh: {error}", error, "an answer"


# A failed script tells that the machine came up so far, so it stands before all that MAAS's power-off then brings
# about; the others are in the order of a start, in which the first fault hides those behind it.
RULES: tuple[tuple[str, Callable[[Evidence], Cause | None]], ...] = (
    ("commissioning scripts", _script),
    ("BMC", _bmc),
    ("power", _power),
    ("self-test", _post),
    ("link of the booting NIC", _link),
    ("boot order", _order),
    ("DHCP lease", _lease),
    ("disks", _disk),
    ("disk names", _disk_name),
    ("clock", _clock),
    ("certificates", _certificate),
    ("ssh", _ssh),
)
