# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Find everything that can be known to be wrong before anything is changed; see plugins/modules/preflight.py."""

from __future__ import annotations

import contextlib
import email.utils
import stat
import sys
import time
import typing as t
from pathlib import Path

from ansible import constants
from ansible.errors import AnsibleActionFail, AnsibleError
from ansible.plugins.action import ActionBase
from ansible.release import __version__ as core_version

from ..module_utils.catalog.checks import finding
from ..module_utils.compatibility.releases import deployed
from ..module_utils.documents.problems import Problem, render, shown
from ..module_utils.fabric.plan_file import PlanFileError, load
from ..module_utils.findings import Finding, Verdict
from ..module_utils.lifecycle.run import RunDirectory
from ..module_utils.maas.client import Response
from ..module_utils.maas.connection import BEFORE_ANYTHING_IS_BEGUN, connect
from ..module_utils.maas.errors import MaasError
from ..module_utils.maas.requests import version, whoami
from ..module_utils.site.roster import KEYS
from ..module_utils.site.urls import holds_credentials
from ..module_utils.site.validate import Site, validate
from ..plugin_utils.ssh_keys import VAULTED, host_ca_problems, public_key_problems, unreadable

# What this release was tried with; requires_ansible of meta/runtime.yml only warns.
CORE = ((2, 20), (2, 21))
PYTHON = (3, 12)
MAAS = (3, 5)
# What roles and playbooks take from the inventory and have no default for, by group. Of names that stand together
# one is enough.
REQUIRED: dict[str, dict[tuple[str, ...], str]] = {
    "gpu_nodes": {
        ("maas_url",): "URL of MAAS, such as http://maas.example.com:5240/MAAS",
        ("maas_api_key_file", "maas_api_key"): "file that holds the API key of MAAS, or the key itself from the vault",
        ("ssh_host_ca_file", "ssh_host_ca_key"): "file that holds the private half of the host CA, or the key itself",
        ("ssh_known_hosts_file",): "file that holds the public half of the host CA",
        ("cluster_ssh_host_authorities",): "public half of the host CA, a list",
        ("gpu_driver_repository",): "where the driver's packages come from",
        ("mpi_network",): "network in CIDR notation that connects the ranks of MPI jobs",
        ("nccl_repository",): "where NCCL's packages come from",
        ("node_authorized_keys",): "public ssh keys of the operators, a list",
    },
    "head_nodes": {
        ("ansible_host",): "its address, written out",
        ("cluster_ssh_host_authorities",): "public half of the host CA, a list",
        ("ssh_host_name",): "its name in its host certificate, written out",
    },
    "registry": {
        ("registry_tls_certificate",): "certificate of the registry, PEM text",
        ("registry_tls_key",): "its key, PEM text from the vault",
    },
}
# What often takes its value from a file or from the vault, and may be left out.
OPTIONAL = {
    "gpu_nodes": (
        "base_os_apt_repositories",
        "base_os_ca_certificates",
        "base_os_hosts",
        "bmc_password",
        "bmc_user",
        "container_runtime_registries",
    ),
    "head_nodes": ("base_os_apt_repositories", "base_os_ca_certificates", "base_os_hosts"),
    "mirror": ("file_mirror_upstreams", "file_mirror_files"),
    "registry": ("registry_ca_certificate", "registry_htpasswd"),
}
# How the variables begin that playbooks and roles read.
OWN = (
    *(
        "base_os_",
        "cluster_ssh_",
        "common_",
        "container_runtime_",
        "doca_ofed_",
        "file_mirror_",
        "gpu_driver_",
        "nccl_",
        "node_agent_",
        "node_user_env_",
        "reboot_",
        "registry_",
        "storage_",
    ),
    *("bmc_", "fabric_", "maas_", "maas_config_", "maas_server_", "os_image_"),
)
# What a machine is enrolled by that MAAS does not know.
LOG_IN = ("bmc_address", "bmc_user", "bmc_password")
# A variable that every inventory has from the common file; without it dozens of defaults are missing.
COMMON = "maas_in_service_tag"
# Lists of public ssh keys: the host CA's, and those that may log in on the nodes.
AUTHORITIES, LOGINS = "cluster_ssh_host_authorities", "node_authorized_keys"
# What stands in the example's vaults in place of every secret.
PLACEHOLDER = "replace-me"


class ActionModule(ActionBase):
    """Reads files of the controller and asks MAAS; to be run with run_once."""

    TRANSFERS_FILES = False
    _supports_check_mode = True
    _requires_connection = False

    def run(self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        super().run(tmp, task_vars)
        variables = task_vars or {}
        _result, arguments = self.validate_argument_spec(
            argument_spec={
                "maas": {
                    "type": "dict",
                    "required": True,
                    "options": {
                        "url": {"type": "str"},
                        "api_key": {"type": "str", "no_log": True},
                        "api_key_file": {"type": "path"},
                        "ca_file": {"type": "path"},
                    },
                },
                "cable_plan": {"type": "path"},
                "supported_releases": {"type": "list", "elements": "str", "default": []},
                "host_ca": {
                    "type": "dict",
                    "default": {},
                    "options": {
                        "key": {"type": "str", "no_log": True},
                        "key_file": {"type": "path"},
                        "known_hosts_file": {"type": "path"},
                    },
                },
                "secret_files": {"type": "list", "elements": "path", "default": []},
                "max_clock_offset": {"type": "float", "default": 30.0},
            }
        )
        releases = _releases(variables)
        problems = [
            *_run_problems(),
            *_version_problems(),
            *_site_problems(variables, releases),
            *_release_problems(releases, arguments["supported_releases"]),
            *_variable_problems(variables),
            *_machine_problems(variables),
            *_url_problems(variables),
            *(_plan_problems(Path(arguments["cable_plan"])) if arguments["cable_plan"] else ()),
            *(problem for name in arguments["secret_files"] if name for problem in _secret_problems(Path(name))),
            *(problem for folder in _folders(variables) for problem in _vault_problems(folder)),
            *_key_problems(variables, arguments["host_ca"]),
        ]
        if arguments["maas"]["url"] and (arguments["maas"]["api_key"] or arguments["maas"]["api_key_file"]):
            problems += _maas_problems(arguments["maas"], arguments["max_clock_offset"])
        problems = list(dict.fromkeys(problems))  # a file may be looked at for more than one reason
        if problems:
            raise AnsibleActionFail(f"{len(problems)} to mend before anything is changed:\n{render(problems)}")
        RunDirectory.current().record_site("preflight", "roster", _strangers(variables))
        return {"changed": False, "msg": "nothing to mend"}


def _strangers(variables: dict[str, t.Any]) -> list[Finding]:
    """Machines that MAAS knows and the roster does not: a person has to say what they are."""
    return [
        finding(
            "roster.unknown_machine",
            f"machine:{machine['system_id']}",
            Verdict.WARN,
            f"MAAS knows {machine['hostname']} (serial {machine['serial'] or 'unknown'}, {machine['status_name']})",
        )
        for machine in variables.get("maas_unknown_machines", ())
    ]


def _run_problems() -> t.Iterator[Problem]:
    try:
        RunDirectory.current()
    except RuntimeError:
        remedy = (
            "set it to firstlight.cluster.progress, or take the ansible.cfg of the clone, "
            "or that of inventories/ in the collection"
        )
        yield Problem("ansible.cfg", "defaults.callbacks_enabled", "the run keeps no findings and no report", remedy)


def _version_problems() -> t.Iterator[Problem]:
    core = tuple(int(part) for part in core_version.split(".")[:2])
    if not CORE[0] <= core <= CORE[1]:
        supported = " to ".join(".".join(map(str, each)) for each in CORE)
        message = f"is {core_version}; this collection supports {supported}"
        yield Problem("controller", "ansible-core", message, "run `make setup` and use .venv/bin/ansible-playbook")
    if sys.version_info < PYTHON:
        message = f"is {sys.version.split()[0]}; this collection needs {'.'.join(map(str, PYTHON))} or later"
        yield Problem("controller", "python", message, "run `make setup` and use .venv/bin/ansible-playbook")


def _releases(variables: dict[str, t.Any]) -> dict[str, str]:
    """By node the operating system that it is deployed with, where the inventory tells it."""
    groups, hostvars = variables["groups"], variables["hostvars"]
    builders = groups.get("head_nodes", ())
    # What images.yml builds has the name under which nodes are deployed; the first head node builds it.
    suite = _text(hostvars[builders[0]], "os_image_suite") if builders else ""
    found = {
        host: deployed(_text(hostvars[host], "maas_osystem"), _text(hostvars[host], "maas_distro_series"), suite)
        for host in groups.get("gpu_nodes", ())
    }
    return {host: release for host, release in found.items() if release}


def _text(variables: t.Mapping[str, t.Any], name: str) -> str:
    """A variable's value; empty where there is none, or none that can be evaluated, which others tell."""
    with contextlib.suppress(AnsibleError):
        return str(variables.get(name) or "")
    return ""


def _release_problems(releases: dict[str, str], supported: list[str]) -> t.Iterator[Problem]:
    """Operating systems that the roles would refuse after the machines were deployed with them."""
    for release in sorted({*releases.values()} - {*supported}) if supported else ():
        hosts = [host for host, its in releases.items() if its == release]
        message = f"{_listed(hosts)} would be deployed with {release}; supported are {', '.join(supported)}"
        remedy = "name an image of one of these, in group_vars or host_vars; see docs/bring_up.md"
        yield Problem("inventory", "maas_osystem, maas_distro_series", message, remedy)


def _listed(hosts: list[str]) -> str:
    return ", ".join(hosts[:3]) + (f" and {len(hosts) - 3} more" if len(hosts) > 3 else "")


def _site_problems(variables: dict[str, t.Any], releases: dict[str, str]) -> list[Problem]:
    hostvars = variables["hostvars"]
    resolved = {
        host: {key: hostvars[host][key] for key in KEYS if key in hostvars[host]}
        for host in variables["groups"].get("gpu_nodes", ())
    }
    folders = _folders(variables)
    rosters = [folder for folder in folders if (folder / "hosts.yml").is_file()]
    if not rosters:
        remedy = "put hosts.yml into the inventory folder and give the folder to -i; see inventories/example"
        return [Problem(shown(folders[0]), "hosts.yml", "there is no roster", remedy)]
    sites = [validate(folder, resolved, releases) for folder in rosters]
    return [problem for site in sites for problem in [*site.problems, *_repository_problems(site, hostvars)]]


def _repository_problems(site: Site, hostvars: t.Mapping[str, t.Any]) -> t.Iterator[Problem]:
    """What is needed where a class pins it, and a later phase would miss. Its value may depend on the version."""
    pinning = {name for name, values in site.classes.items() if values.get("software", {}).get("doca_ofed")}
    concerned = [host for host, node in site.roster.nodes.items() if node.node_class in pinning]
    without = [host for host in concerned if "doca_ofed_repository" not in hostvars[host]]
    if without:
        message = f"is not set for {_listed(without)}, whose class pins software.doca_ofed"
        remedy = "set it in group_vars: where the packages of DOCA-OFED come from; see docs/doca_ofed.md"
        yield Problem("inventory", "doca_ofed_repository", message, remedy)


def _folders(variables: dict[str, t.Any]) -> list[Path]:
    """The folders of the inventories."""
    sources = [Path(source) for source in variables["ansible_inventory_sources"]]
    return [source if source.is_dir() else source.parent for source in sources]


def _variable_problems(variables: dict[str, t.Any]) -> t.Iterator[Problem]:
    """Variables without a default that a later phase would miss, after hundreds of machines were deployed."""
    groups, hostvars = variables["groups"], variables["hostvars"]
    if not groups.get("head_nodes"):
        remedy = "name at least one host there: it serves the nodes and keeps the ledger"
        yield Problem("inventory", "head_nodes.hosts", "there is no head node", remedy)
    if COMMON not in variables:
        remedy = "link to it: `ln -s ../common/00-common.yml` in the inventory's folder"
        yield Problem("inventory", "00-common.yml", "the defaults that every site has are not there", remedy)
    for group in {**REQUIRED, **OPTIONAL}:
        known = {host: hostvars[host] for host in groups.get(group, ())}
        for names, meaning in REQUIRED.get(group, {}).items():
            remedy = f"set it in group_vars or host_vars: {meaning}; see docs/bring_up.md"
            without = [host for host, theirs in known.items() if not any(name in theirs for name in names)]
            if without:
                message = f"is not set for {_listed(without)} ({group})"
                yield Problem("inventory", " or ".join(names), message, remedy)
            yield from _complaints(known, names, remedy, filled=True)
        remedy = "correct it, or create what it names; see docs/secrets.md for what comes from the vault"
        yield from _complaints(known, OPTIONAL.get(group, ()), remedy, filled=False)


def _machine_problems(variables: dict[str, t.Any]) -> t.Iterator[Problem]:
    """A roster of which nothing could be deployed: its machines are not in MAAS, and nobody can tell MAAS of them."""
    everything = (variables["hostvars"][host] for host in variables["groups"].get("gpu_nodes", ()))
    nodes = [theirs for theirs in everything if theirs.get("state") != "planned"]
    if not nodes or any("maas" in theirs for theirs in nodes):
        return
    if not any("maas_problem" in theirs for theirs in nodes):
        remedy = "write the file beside hosts.yml, as docs/bring_up.md shows it"
        yield Problem("inventory", "maas.yml", "nobody asks MAAS which of these machines it knows", remedy)
    elif not any(all(name in theirs for name in LOG_IN) for theirs in nodes):
        message = f"MAAS knows none of these {len(nodes)} machines, and none has {', '.join(LOG_IN)} to be enrolled by"
        remedy = (
            "give these, or enlist the machines in MAAS; if they are there, correct url and filters of maas.yml, "
            "and serial numbers and names of the roster"
        )
        yield Problem("inventory", "gpu_nodes.hosts", message, remedy)


def _url_problems(variables: dict[str, t.Any]) -> t.Iterator[Problem]:
    """Passwords in URLs: the roles write URLs where everybody can read them."""
    told: set[str] = set()
    for hosts in variables["groups"].values():
        # As above, one host stands for its group.
        known = variables["hostvars"][hosts[0]] if hosts else {}
        for name in sorted(name for name in known if name.startswith(OWN) and name not in told):
            with contextlib.suppress(AnsibleError):
                if holds_credentials(_evaluated(known[name])):
                    told.add(name)
                    remedy = "take it out; docs/secrets.md says what an upstream with a log-in needs"
                    yield Problem("inventory", name, "a URL in it holds a password or a token", remedy)


def _complaints(
    known: t.Mapping[str, t.Mapping[str, t.Any]], names: t.Iterable[str], remedy: str, filled: bool
) -> t.Iterator[Problem]:
    """Values that cannot be used. What is set is nearly always set for all of a group: one host stands for them."""
    for name in names:
        host = next((host for host, theirs in known.items() if name in theirs), None)
        complaint = _complaint(known[host], name, filled) if host else ""
        if complaint:
            yield Problem("inventory", name, f"{complaint} ({host})", remedy)


def _complaint(variables: t.Mapping[str, t.Any], name: str, filled: bool) -> str:
    """Why the value of a variable that is set cannot be used, or is not filled in; empty where it can."""
    try:
        value = _evaluated(variables[name])
    except AnsibleError as error:
        return f"cannot be evaluated: {error}"
    if _holds_placeholder(value):
        return f"still reads {PLACEHOLDER}, as the example does"
    return "is empty" if filled and (value is None or value in ("", [], {})) else ""


def _holds_placeholder(value: t.Any) -> bool:
    if isinstance(value, dict):
        return any(_holds_placeholder(member) for member in value.values())
    if isinstance(value, list):
        return any(_holds_placeholder(member) for member in value)
    return isinstance(value, str) and PLACEHOLDER in value


def _evaluated(value: t.Any) -> t.Any:
    """The value with everything in it evaluated; Ansible evaluates members only when they are looked at."""
    if isinstance(value, dict):
        return {key: _evaluated(member) for key, member in value.items()}
    return [_evaluated(member) for member in value] if isinstance(value, list) else value


def _plan_problems(path: Path) -> t.Iterator[Problem]:
    try:
        load(path)
    except PlanFileError as error:
        yield from error.problems


def _secret_problems(path: Path) -> t.Iterator[Problem]:
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
        content = path.read_bytes()
    except OSError as error:
        yield unreadable(path, error)
        return
    if PLACEHOLDER.encode() in content:
        message = f"still reads {PLACEHOLDER}, as the example does"
        yield Problem(str(path), "", message, "write the secret itself into it; see docs/secrets.md")
    if mode & 0o077:
        yield Problem(str(path), "", f"others may read it (mode {mode:04o})", f"chmod 600 {path}")


def _vault_problems(folder: Path) -> t.Iterator[Problem]:
    """Files named vault.yml that hold their secrets in the clear, for everybody to read."""
    for path in sorted({*folder.glob("group_vars/**/vault.yml"), *folder.glob("host_vars/**/vault.yml")}):
        try:
            encrypted = path.read_bytes().startswith(VAULTED)
            mode = stat.S_IMODE(path.stat().st_mode)
        except OSError as error:
            yield Problem(shown(path), "", f"cannot be read ({error.strerror})", "give this user the right to read it")
            continue
        if not encrypted and mode & 0o077:
            message = f"is not encrypted, and others may read it (mode {mode:04o})"
            yield Problem(shown(path), "", message, f"ansible-vault encrypt {shown(path)}")


def _key_problems(variables: dict[str, t.Any], host_ca: dict[str, t.Any]) -> t.Iterator[Problem]:
    """Keys with which nobody could log in on a node that was deployed, and nodes could not reach each other."""
    authorities: dict[str, list[str]] = {}
    for group, names in (("gpu_nodes", (AUTHORITIES, LOGINS)), ("head_nodes", (AUTHORITIES,))):
        hosts = variables["groups"].get(group, ())
        for name in names:
            # As above, one host stands for its group. What cannot be evaluated is told there.
            host = next((host for host in hosts if name in variables["hostvars"][host]), None)
            with contextlib.suppress(AnsibleError):
                value = _evaluated(variables["hostvars"][host][name]) if host else []
                entries = [str(entry) for entry in (value if isinstance(value, list) else [value]) if value]
                if not host or not entries or entries in authorities.values():
                    continue
                yield from public_key_problems(name, entries, host, bare=name == AUTHORITIES)
                if name == AUTHORITIES:
                    authorities[host] = entries
    yield from host_ca_problems(Path(constants.DEFAULT_LOCAL_TMP), authorities=authorities, **host_ca)


def _maas_problems(options: dict[str, t.Any], max_offset: float) -> t.Iterator[Problem]:
    offsets: list[float] = []

    def listen(answer: Response) -> None:
        with contextlib.suppress(KeyError, TypeError, ValueError):
            offsets.append(email.utils.parsedate_to_datetime(answer.headers["date"]).timestamp() - time.time())

    connection = {"validate_certs": True, "use_proxy": False, "request_timeout": 20.0, **options}
    try:
        client = connect(connection, watch=listen, retry=BEFORE_ANYTHING_IS_BEGUN)
        told, user = version(client), whoami(client)
    except MaasError as error:
        yield Problem("inventory", "maas_url", error.args[0], error.remedy or "see that MAAS answers at this URL")
        return
    if tuple(int(part) for part in told.split(".")[:2] if part.isdigit()) < MAAS:
        needed = ".".join(map(str, MAAS))
        yield Problem("inventory", "maas_url", f"MAAS is {told}", f"upgrade it to {needed} or later")
    if not user.get("is_superuser"):
        message = f"the key belongs to {user['username']}, who is no administrator"
        yield Problem("inventory", "maas_api_key_file", message, "use an administrator's key: commissioning needs it")
    # The header has a resolution of one second; a lost or slow answer only widens what is measured.
    if offsets and abs(min(offsets, key=abs)) > max_offset:
        message = f"MAAS's clock is {min(offsets, key=abs):+.0f} s from the controller's"
        yield Problem("controller", "clock", message, "synchronise both with NTP; TLS and MAAS refuse wrong clocks")
