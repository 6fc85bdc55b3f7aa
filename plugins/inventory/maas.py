# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Inventory plugin: what MAAS knows, merged into the roster."""

from __future__ import annotations

DOCUMENTATION = r"""
name: maas
short_description: Add what MAAS knows to the hosts of the roster
version_added: 0.1.0
author:
  - firstlight.cluster authors (@firstlight-cluster)
description:
  - Adds variables and groups to hosts that are in the inventory already, from one request to MAAS.
    It never adds a host; the roster says what should be there.
  - A host is matched with a machine of MAAS by its variable C(system_id), then its variable C(serial_number), then its
    name. A machine whose serial is known and differs from the roster's is not matched, and none where the serial leads
    to one record of MAAS and the name to another.
  - Sets the variable C(maas) for each host that matches, with C(system_id), C(hostname), C(fqdn), C(status),
    C(status_name), C(power_state), C(addresses) (lists by subnet), C(networks) (the same by the subnet's name),
    C(primary_address), C(bmc_address), C(mac_addresses), C(power_type), C(tags), C(pool), C(zone), C(description),
    C(owner), C(osystem), C(distro_series), C(locked) and C(serial); and C(maas_problem), with C(reason), C(remedy) and
    C(missing), for each host that does not. C(missing) is true where MAAS has nothing that could be its machine.
  - With a cache MAAS is still asked one small question, whether its event log has grown. Only if it has not is the
    cache used, so that a machine which was released or deployed since is never shown as it was.
  - Sets C(ansible_host) to the machine's address, if the machine is deployed and the roster does not set it.
  - Puts each host that matches into a group named after its status, such as C(maas_deployed) or C(maas_ready).
  - Sets the variable C(maas_unknown_machines) for all hosts, a list of the machines in MAAS that no host matches.
  - The file must be named C(maas.yml) or C(maas.yaml), or end so, and be parsed after the roster. Ansible parses the
    files of a directory in alphabetical order, so C(maas.yml) beside C(hosts.yml) is right and C(90-maas.yml) is not.
  - Text that comes from MAAS is never evaluated as a template.
options:
  plugin:
    description: Marks the file as meant for this plugin.
    type: str
    required: true
    choices: [firstlight.cluster.maas]
  url:
    description:
      - URL of MAAS, such as V(http://maas.example.org:5240/MAAS).
      - May be a template, as may all options that are text. The variables are the extra variables, C(inventory_dir)
        and C(inventory_file).
    type: str
    env:
      - name: MAAS_URL
  api_key:
    description:
      - API key in the form C(consumer:token:secret). May be encrypted with Ansible Vault.
      - If neither this nor O(api_key_file) is set, the environment variable E(MAAS_API_KEY) is used.
    type: str
  api_key_file:
    description:
      - File that contains the API key. O(api_key) wins over it.
      - Relative paths, here and below, start at the directory of the inventory file.
    type: str
  ca_file:
    description: File with the certificates of the authorities, in PEM form, that sign MAAS's certificate.
    type: str
  client_cert:
    description: File with a client certificate in PEM form, where something before MAAS asks for one.
    type: str
  client_key:
    description: File with the private key of O(client_cert), if it is not in the same file.
    type: str
  validate_certs:
    description: Whether MAAS's certificate is verified. Rather give O(ca_file) than switch this off.
    type: bool
    default: true
  use_proxy:
    description: Whether the proxy settings of the environment apply.
    type: bool
    default: false
  request_timeout:
    description: Seconds after which a request is given up. It is repeated a few times.
    type: float
    default: 120
  filters:
    description:
      - Filters that MAAS applies, as in its API, such as C(hostname), C(tags), C(pool), C(zone), C(status).
        Each takes one value or a list.
      - C(maas_unknown_machines) lists only machines that pass them.
    type: dict
    default: {}
  bmc_addresses:
    description:
      - Whether to set C(maas.bmc_address), for which MAAS is asked for the power parameters with one more request.
        Only administrators may. Passwords are not kept.
    type: bool
    default: false
  node_class_tags:
    description:
      - Node classes by tag of MAAS. A host whose machine carries such a tag, and for which the roster sets no
        C(node_class), gets it. A machine with tags of two classes is an error.
    type: dict
    default: {}
extends_documentation_fragment:
  - ansible.builtin.constructed
  - ansible.builtin.inventory_cache
"""

EXAMPLES = r"""
# maas.yml, beside hosts.yml
plugin: firstlight.cluster.maas
url: http://maas.example.org:5240/MAAS
api_key_file: "{{ lookup('ansible.builtin.env', 'HOME') }}/.config/maas.key"
filters:
  pool: gpu
bmc_addresses: true
node_class_tags:
  h100: dgx-h100
keyed_groups:
  - key: maas.zone
    prefix: zone
compose:
  storage_address: maas.addresses['10.30.0.0/16'][0]
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleError, AnsibleParserError
from ansible.inventory.data import InventoryData
from ansible.inventory.helpers import get_group_vars
from ansible.parsing.dataloader import DataLoader
from ansible.plugins.inventory import BaseInventoryPlugin, Cacheable, Constructable
from ansible.utils.unsafe_proxy import wrap_var
from ansible.utils.vars import combine_vars
from ansible_collections.firstlight.cluster.plugins.module_utils.maas.client import Client
from ansible_collections.firstlight.cluster.plugins.module_utils.maas.connection import (
    BEFORE_ANYTHING_IS_BEGUN,
    connect,
)
from ansible_collections.firstlight.cluster.plugins.module_utils.maas.errors import MaasError
from ansible_collections.firstlight.cluster.plugins.module_utils.maas.events import newest_event
from ansible_collections.firstlight.cluster.plugins.module_utils.maas.machines import Machine, Status
from ansible_collections.firstlight.cluster.plugins.module_utils.maas.matching import Wanted, match
from ansible_collections.firstlight.cluster.plugins.module_utils.maas.requests import (
    list_machines,
    power_parameters,
    with_bmc,
)

_TEXTS = ("url", "api_key")
_FILES = ("api_key_file", "ca_file", "client_cert", "client_key")


class InventoryModule(BaseInventoryPlugin, Constructable, Cacheable):
    """See DOCUMENTATION."""

    NAME = "firstlight.cluster.maas"

    def verify_file(self, path: str) -> bool:
        """Take files that exist and whose names end in maas.yml or maas.yaml."""
        return super().verify_file(path) and path.endswith(("maas.yml", "maas.yaml"))

    def parse(self, inventory: InventoryData, loader: DataLoader, path: str, cache: bool = True) -> None:
        """Merge MAAS into the inventory; raises AnsibleParserError that names the file, the key and the remedy."""
        super().parse(inventory, loader, path, cache=cache)
        config = self._read_config_data(path)
        unknown = sorted(set(config) - set(self.get_options()))
        if unknown:
            raise AnsibleParserError(
                f"{path}: {', '.join(unknown)}: no such option. See `ansible-doc -t inventory {self.NAME}`."
            )
        if not inventory.hosts:
            raise AnsibleParserError(
                f"{path}: there is no host in the inventory to which MAAS's machines could belong. Write the roster"
                " (hosts.yml), and see that its file is parsed first: files are parsed in alphabetical order."
            )
        options = self._evaluated(path)
        try:
            self._merge(self._machines(path, options, cache))
        except MaasError as error:
            # Ansible would print the whole chain of causes, each with the same sentence.
            raise AnsibleParserError(f"{path}: {_naming_option(error)}") from None

    def _evaluated(self, path: str) -> dict[str, Any]:
        """The options with their templates evaluated and relative paths made absolute."""
        folder = Path(path).resolve().parent
        self.templar.available_variables = {
            **(self._vars or {}),
            "inventory_dir": str(folder),
            "inventory_file": str(Path(path).resolve()),
        }
        options = dict(self.get_options())
        for name in (*_TEXTS, *_FILES, "filters"):
            try:
                value = self.templar.template(options[name])
            except AnsibleError as error:
                raise AnsibleParserError(f"{path}: {name}: its template cannot be evaluated: {error}") from None
            if name in _FILES and value:
                value = str(folder / Path(str(value)).expanduser())
            elif name in _TEXTS and value is not None:
                value = str(value)
            options[name] = value
        if not options["url"]:
            raise AnsibleParserError(f"{path}: url: is not set. Write MAAS's URL there, or set MAAS_URL.")
        return options

    def _machines(self, path: str, options: dict[str, Any], cache: bool) -> list[Machine]:
        """The machines, from the cache where it is wanted and filled for the same question, else from MAAS."""
        client = connect(options, retry=BEFORE_ANYTHING_IS_BEGUN)
        if not options["cache"]:
            return _read(client, options)
        question = json.dumps([client.root, options["filters"], options["bmc_addresses"]], sort_keys=True, default=str)
        key = f"{self.get_cache_key(path)}_{hashlib.sha256(question.encode()).hexdigest()[:12]}"
        newest = newest_event(client)  # asked first: what happens while the list is read makes it stale, not fresh
        if cache and key in self._cache and self._cache[key]["newest_event"] == newest:
            return [Machine.from_vars(data) for data in self._cache[key]["machines"]]
        machines = _read(client, options)
        self._cache[key] = {"newest_event": newest, "machines": [machine.as_vars() for machine in machines]}
        return machines

    def _set_class(self, name: str, machine: Machine) -> None:
        classes = {node_class for tag, node_class in self.get_option("node_class_tags").items() if tag in machine.tags}
        if not classes or "node_class" in self._known(name):
            return
        if len(classes) > 1:
            raise AnsibleParserError(
                f"node_class_tags: the tags of {machine.hostname} ({name}) mean several node classes:"
                f" {', '.join(sorted(map(str, classes)))}. Take one tag away in MAAS, or set node_class in the roster."
            )
        self._set(name, "node_class", classes.pop())

    def _merge(self, machines: list[Machine]) -> None:
        roster = [_wanted(name, host.get_vars()) for name, host in self.inventory.hosts.items()]
        matching = match(roster, machines)
        self.inventory.add_group("maas_deployed")  # there even if empty, so that plays may name it
        for name, machine in matching.found.items():
            self._describe(name, machine)
        for name, problem in matching.problems.items():
            told = {"reason": problem.reason, "remedy": problem.remedy, "missing": problem.missing}
            self._set(name, "maas_problem", told)
        unknown = [
            {key: machine.as_vars()[key] for key in ("system_id", "hostname", "serial", "status_name")}
            for machine in matching.unknown
        ]
        self.inventory.groups["all"].set_variable("maas_unknown_machines", unknown)

    def _set(self, name: str, variable: str, value: Any) -> None:
        """Set a host's variable to data that is never evaluated as a template.

        Strings are evaluated only where Ansible marked them as trusted. The inventory's own set_variable would mark
        them in an inventory whose first source is trusted (such as a TOML file), whatever this plugin declares.
        """
        self.inventory.get_host(name).set_variable(variable, wrap_var(value))

    def _describe(self, name: str, machine: Machine) -> None:
        """Set the variables and groups of one host."""
        facts = machine.as_vars()
        self._set(name, "maas", facts)
        deployed = machine.status == Status.DEPLOYED
        if deployed and machine.primary_address and "ansible_host" not in self._known(name):
            self._set(name, "ansible_host", machine.primary_address)
        self._set_class(name, machine)
        group = self._sanitize_group_name(f"maas_{_status_slug(machine)}")
        self.inventory.add_child(self.inventory.add_group(group), name)
        strict = self.get_option("strict")
        compose = self.get_option("compose")
        self._set_composite_vars(compose, self._known(name), name, strict=strict)
        for variable in set(compose) & set(self.inventory.get_host(name).vars):
            self._set(name, variable, self.inventory.get_host(name).vars[variable])  # it may hold text from MAAS
        known = self._known(name)
        self._add_host_to_composed_groups(self.get_option("groups"), known, name, strict=strict)
        self._add_host_to_keyed_groups(self.get_option("keyed_groups"), known, name, strict=strict)

    def _known(self, name: str) -> Mapping[str, Any]:
        """The host's variables so far, those of its groups included."""
        host = self.inventory.get_host(name)
        return combine_vars(get_group_vars(host.get_groups()), host.get_vars())


def _read(client: Client, options: Mapping[str, Any]) -> list[Machine]:
    machines = list_machines(client, options["filters"])
    if not options["bmc_addresses"]:
        return machines
    parameters = power_parameters(client, [machine.system_id for machine in machines])
    return [with_bmc(machine, parameters.get(machine.system_id, {})) for machine in machines]


def _wanted(name: str, variables: Mapping[str, Any]) -> Wanted:
    return Wanted(
        name=name,
        system_id=str(variables.get("system_id") or ""),
        serial=str(variables.get("serial_number") or ""),
    )


def _status_slug(machine: Machine) -> str:
    """The name by which MAAS's filters call the status; for one not known here, its label."""
    try:
        return Status(machine.status).name.lower()
    except ValueError:
        return machine.status_name.lower()


def _naming_option(error: MaasError) -> str:
    """The error with the option in front that it is most likely about."""
    if error.status == 403 and "power_parameters" in error.path:
        return f"bmc_addresses: {error}"
    if error.status in (401, 403):
        return f"api_key: {error}"
    if error.status == 400:
        return f"filters: {error}"
    if error.method:
        return f"url: {error}"
    return str(error)
