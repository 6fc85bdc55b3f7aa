# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""For every role a broken task, that its Molecule scenario must notice (`kernel` is one of base_os and reboot).

Each mutant gets a lab of its own, as what one has left on a machine could hide what the next one does. Only
converge and verify run: they are what a scenario says of a role's behaviour.
"""

from __future__ import annotations

from pathlib import Path

from .engine import Mutant

WITHOUT_SCENARIO = Path(__file__).resolve().parents[2] / "molecule" / "without_scenario.txt"


def without_scenario() -> dict[str, str]:
    """Roles without a scenario, each with the test that runs it: against a simulated server, or with stand-ins."""
    lines = WITHOUT_SCENARIO.read_text(encoding="utf-8").splitlines()
    return dict(line.split() for line in lines if not line.startswith("#"))


_TESTS = without_scenario()


def _beside(role: str, name: str, file: str, what: str, old: str, new: str) -> Mutant:
    return Mutant(f"role {role}: {name}", f"roles/{file}", what, old, new, (_TESTS[role],))


def _mutant(role: str, name: str, file: str, what: str, old: str, new: str) -> Mutant:
    return Mutant(f"role {role}: {name}", f"roles/{file}", what, old, new, (), role)


_NEVER = "when: false"

MUTANTS = [
    _beside(
        "bmc",
        "in service",
        "bmc/tasks/refuse.yml",
        "a node in service is changed",
        "that: not bmc_in_service",
        "that: true",
    ),
    _beside(
        "bmc",
        "cap",
        "bmc/tasks/cap.yml",
        "the number of nodes is not capped",
        "that: __bmc_firmware_on | length <= bmc_firmware_most | int",
        "that: true",
    ),
    _beside(
        "bmc",
        "restart",
        "bmc/tasks/bios.yml",
        "the machine is restarted without leave",
        'restart: "{{ bmc_restart }}"',
        "restart: true",
    ),
    _beside(
        "maas_config",
        "settings",
        "maas_config/tasks/main.yml",
        "the region keeps its settings",
        "when: maas_config_settings | length > 0",
        _NEVER,
    ),
    _beside(
        "maas_config",
        "networks",
        "maas_config/tasks/main.yml",
        "networks and DHCP are not set up",
        "when: maas_config_networks | length > 0",
        _NEVER,
    ),
    _beside(
        "maas_server",
        "series",
        "maas_server/tasks/refuse.yml",
        "packages of another Ubuntu release are installed",
        "      - __maas_server_series in __maas_server_series_of_release"
        "[ansible_facts['distribution_version']] | default([])\n",
        "",
    ),
    _beside(
        "maas_server",
        "migration",
        "maas_server/vars/main.yml",
        "the tables are made anew in every run",
        "| b64decode | trim) != __maas_server_schema }}",
        "| b64decode | trim) != '' }}",
    ),
    _beside(
        "maas_server",
        "password",
        "maas_server/tasks/admin.yml",
        "the administrator's password is logged",
        """{{ maas_server_admin_password }}"
    __seconds: "{{ maas_server_command_timeout }}"
    __secret: true
""",
        """{{ maas_server_admin_password }}"
    __seconds: "{{ maas_server_command_timeout }}"
    __secret: false
""",
    ),
    _beside(
        "maas_server",
        "rack",
        "maas_server/vars/main.yml",
        "a rack controller stays with another region",
        "{{ __maas_server_rack_urls == [__maas_server_url]\n     and ",
        "{{ ",
    ),
    _beside(
        "os_image",
        "name",
        "os_image/tasks/main.yml",
        "a name that is a path becomes one",
        "that: os_image_name is match('^[a-z0-9][a-z0-9._-]*$')",
        "that: true",
    ),
    _beside(
        "os_image",
        "kernel",
        "os_image/vars/main.yml",
        "the kernel is left out",
        "if os_image_kernel else []",
        "if false else []",
    ),
    _beside(
        "os_image",
        "upload",
        "os_image/tasks/upload.yml",
        "the image stays where it was built",
        "when: __os_image_built.image is defined",
        _NEVER,
    ),
    _mutant(
        "base_os",
        "authorities",
        "base_os/tasks/system_texts.yml",
        "programs do not learn of the site's authority",
        "when: \"'authorities' in common_due.texts\"",
        _NEVER,
    ),
    _mutant(
        "base_os",
        "kernel settings",
        "base_os/tasks/system.yml",
        "the running kernel keeps its settings",
        'loop: "{{ common_due.sysctl }}"',
        "loop: []",
    ),
    _mutant(
        "base_os",
        "unknown setting",
        "base_os/tasks/ground.yml",
        "a setting that the kernel has not is passed over",
        "when: __base_os_refused | length > 0",
        _NEVER,
    ),
    _mutant(
        "doca_ofed",
        "busy",
        "doca_ofed/tasks/install.yml",
        "the driver is changed under a job, and its package starts a subnet manager",
        "        common_packages_guard: before_change.yml\n",
        "",
    ),
    _mutant(
        "doca_ofed",
        "subnet manager",
        "doca_ofed/vars/main.yml",
        "a subnet manager is not kept from running",
        "{{ __doca_ofed_masks\n     + ",
        "{{ ",
    ),
    _mutant(
        "doca_ofed",
        "restart",
        "doca_ofed/tasks/write_ordering.yml",
        "nobody is asked for the restart that an order of writes waits for",
        "when: __waiting | length > 0",
        _NEVER,
    ),
    _mutant(
        "doca_ofed",
        "firmware",
        "doca_ofed/tasks/firmware.yml",
        "firmware that was burned never comes into force: nobody asks for the restart",
        "when: __doca_ofed_waiting | length > 0",
        _NEVER,
    ),
    _mutant(
        "doca_ofed",
        "registers",
        "doca_ofed/tasks/pci.yml",
        "a register that somebody changed stays so",
        "when: __doca_ofed_pci.stdout_lines | select('search', ' wanted is ') | length > 0",
        _NEVER,
    ),
    _mutant(
        "doca_ofed",
        "pin",
        "doca_ofed/tasks/install.yml",
        "an older release cannot take the place of a newer one",
        'common_packages_pins: "{{ __doca_ofed_pins }}"',
        "common_packages_pins: []",
    ),
    _mutant(
        "doca_ofed",
        "names",
        "doca_ofed/templates/names.rules.j2",
        "an HCA has the name of another slot",
        'KERNELS=="{{ address }}"',
        'KERNELS=="{{ __doca_ofed_slots[0][1] }}"',
    ),
    _mutant(
        "base_os",
        "keys",
        "base_os/vars/main.yml",
        "users get no keys",
        "'content': keys | map('trim')",
        "'content': [] | map('trim')",
    ),
    _mutant(
        "base_os",
        "values",
        "base_os/tasks/system.yml",
        "values of the running kernel stay as they are",
        "when: common_due.sysfs | length > 0",
        _NEVER,
    ),
    _mutant(
        "reboot",
        "busy",
        "reboot/tasks/restart.yml",
        "a host is restarted under a job",
        "that: __reboot_busy.holders | length == 0",
        "that: true",
    ),
    _mutant(
        "reboot",
        "in vain",
        "reboot/tasks/restart.yml",
        "a host is restarted again and again",
        "that: not reboot_due.in_vain",
        "that: true",
    ),
    _mutant(
        "reboot",
        "leave",
        "reboot/tasks/restart.yml",
        "a host is restarted without leave",
        "that: reboot_allowed",
        "that: true",
    ),
    _mutant(
        "reboot",
        "in service",
        "reboot/tasks/main.yml",
        "a host in service is restarted",
        "        - not reboot_in_service\n",
        "",
    ),
    _mutant(
        "reboot",
        "worse",
        "reboot/tasks/after.yml",
        "a part that is lost is passed over",
        "that: __reboot_after.worse | length == 0",
        "that: true",
    ),
    _mutant(
        "kernel",
        "boot menu",
        "base_os/templates/grub.cfg.j2",
        "GRUB starts the newest kernel",
        "GRUB_DEFAULT=",
        "GRUB_DEFAULTS=",
    ),
    _mutant(
        "gpu_driver",
        "hold",
        "common/tasks/packages.yml",
        "packages are not held",
        "selection: hold",
        "selection: install",
    ),
    _mutant(
        "gpu_driver",
        "busy",
        "gpu_driver/tasks/install.yml",
        "the driver is changed under a job",
        "    common_packages_guard: busy.yml\n",
        "",
    ),
    _mutant(
        "gpu_driver",
        "kernel",
        "gpu_driver/tasks/install.yml",
        "the driver is built for a kernel that is not the pinned one",
        '    common_packages_kernel: "{{ gpu_driver_kernel }}"\n',
        "",
    ),
    _mutant(
        "gpu_driver",
        "versions",
        "gpu_driver/tasks/main.yml",
        "a fabric manager of another version is accepted",
        "that: __gpu_driver_conflicts | length == 0",
        "that: true",
    ),
    _mutant(
        "gpu_driver",
        "services",
        "gpu_driver/tasks/install.yml",
        "the driver's services are not started",
        'common_services: "{{ __gpu_driver_services }}"',
        "common_services: []",
    ),
    _mutant(
        "gpu_driver",
        "dcgm",
        "gpu_driver/vars/main.yml",
        "DCGM is installed and does not run",
        "'nvidia-dcgm', 'words'",
        "'nvidia-dcgm', 'state': 'stopped', 'words'",
    ),
    _mutant(
        "gpu_driver",
        "loaded",
        "gpu_driver/vars/main.yml",
        "services are started anew for a driver that is not loaded yet",
        " | map('combine', {'waits_for': [__gpu_driver_loaded]}) | list",
        "",
    ),
    _mutant(
        "gpu_driver",
        "parameters",
        "gpu_driver/tasks/before_files.yml",
        "new parameters of the module ask for no restart",
        "- __gpu_driver_module.stat.exists",
        "- false",
    ),
    _mutant(
        "gpu_driver",
        "modes",
        "gpu_driver/tasks/modes.yml",
        "the GPUs keep their modes",
        "when: not __gpu_driver_modes_unknown",
        _NEVER,
    ),
    _mutant(
        "container_runtime",
        "configuration",
        "container_runtime/tasks/run.yml",
        "the daemon is not configured",
        'common_files: "{{ __container_runtime_files }}"',
        "common_files: []",
    ),
    _mutant(
        "container_runtime",
        "restart",
        "container_runtime/vars/main.yml",
        "a changed configuration is not read",
        "[{'name': 'docker', 'reads': ['/etc/docker/daemon.json']}]",
        "[{'name': 'docker'}]",
    ),
    _mutant(
        "container_runtime",
        "proof",
        "container_runtime/tasks/gpus.yml",
        "no container proves that it gets the GPUs",
        'smoke: "{{ container_runtime_smoke }}"',
        "smoke: false",
    ),
    _mutant(
        "container_runtime",
        "count",
        "container_runtime/tasks/gpus.yml",
        "a container may see fewer GPUs than the class has",
        'count: "{{ container_runtime_gpus }}"',
        "count: 0",
    ),
    _mutant(
        "container_runtime",
        "pins",
        "container_runtime/tasks/run.yml",
        "the toolkit's libraries may be of another version",
        'common_packages_pins: "{{ __container_runtime_pins }}"',
        "common_packages_pins: []",
    ),
    _mutant(
        "nccl",
        "settings",
        "nccl/vars/main.yml",
        "the settings of every NCCL program are not written",
        "[{'path': '/etc/nccl.conf'",
        "[{'path': '/etc/nccl.conf.not'",
    ),
    _mutant(
        "nccl",
        "faults",
        "nccl/tasks/main.yml",
        "a setting that NCCL would pass over is written",
        "that: __nccl_faults | length == 0",
        "that: true",
    ),
    _mutant(
        "nccl",
        "topology",
        "nccl/vars/main.yml",
        "NCCL does not learn of the topology file",
        "{'NCCL_TOPO_FILE': nccl_topology_path} if nccl_topology_file else {}",
        "{}",
    ),
    _mutant(
        "nccl",
        "class",
        "nccl/vars/main.yml",
        "what the class says is not heeded",
        "               nccl_class_environment, nccl_environment) }}",
        "               nccl_environment) }}",
    ),
    _mutant(
        "nccl",
        "pins",
        "nccl/tasks/main.yml",
        "versions are not pinned",
        'common_packages_pins: "{{ __nccl_pins }}"',
        "common_packages_pins: []",
    ),
    _mutant(
        "node_user_env",
        "refusal",
        "node_user_env/tasks/main.yml",
        "a setting of NCCL is hidden in the environment",
        "that: __node_user_env_faults | length == 0",
        "that: true",
    ),
    _mutant(
        "node_user_env",
        "limits",
        "node_user_env/tasks/limits.yml",
        "a session with too low limits is passed over",
        "that: __node_user_env_low | length == 0",
        "that: true",
    ),
    _mutant(
        "node_user_env",
        "quotes",
        "node_user_env/templates/profile.sh.j2",
        "a shell reads more into a value than is there",
        "={{ value | string | quote }}",
        '="{{ value }}"',
    ),
    _mutant(
        "cluster_ssh",
        "mode of the key",
        "cluster_ssh/vars/main.yml",
        "others may read the private key",
        "mode: u=rw,go=\n    secret: true",
        "mode: u=rw,go=r\n    secret: true",
    ),
    _mutant(
        "cluster_ssh",
        "second copy",
        "cluster_ssh/tasks/key_make.yml",
        "a second copy of the key stays",
        'loop: ["{{ __cluster_ssh_private }}.new", "{{ __cluster_ssh_private }}.new.pub"]',
        "loop: []",
    ),
    _mutant(
        "file_mirror",
        "checksum",
        "file_mirror/tasks/preflight.yml",
        "a file with a wrong checksum is published",
        "      - __file_mirror_wrong | length == 0\n",
        "",
    ),
    _mutant(
        "file_mirror",
        "reload",
        "file_mirror/tasks/server.yml",
        "a changed configuration is not read",
        "        reads: [/etc/nginx/nginx.conf]\n",
        "",
    ),
    _mutant(
        "registry",
        "restart",
        "registry/tasks/distribution.yml",
        "a changed certificate is not read",
        "/etc/docker/registry/tls.crt, ",
        "",
    ),
    _mutant(
        "registry",
        "key check",
        "registry/tasks/main.yml",
        "a key that is none is accepted",
        "      - registry_tls_key is search('-----BEGIN (?!ENCRYPTED )([A-Z]+ )?PRIVATE KEY-----')\n",
        "",
    ),
    _mutant(
        "storage",
        "mount point",
        "storage/templates/mounts.conf.j2",
        "Docker starts on an unmounted data root",
        "AssertPathIsMountPoint={{ mount }}\n",
        "",
    ),
    _mutant(
        "storage",
        "record",
        "storage/tasks/mounts.yml",
        "an array is not recorded in mdadm.conf",
        'line: "{{ item.arguments.line }}"',
        'line: "# {{ item.arguments.line }}"',
    ),
    _mutant(
        "storage",
        "earlier arrays",
        "storage/tasks/devices.yml",
        "a new array shows the file system of an earlier one, which is taken for its own",
        'argv: [wipefs, --all, "{{ item.arguments.path }}"]',
        'argv: [wipefs, --no-act, "{{ item.arguments.path }}"]',
    ),
    _mutant(
        "storage",
        "leave to erase",
        "storage/tasks/look.yml",
        "every disk is given up",
        'erase_serials: "{{ storage_erase_serials }}"',
        "erase_serials: [FLSSD0004]",
    ),
]
