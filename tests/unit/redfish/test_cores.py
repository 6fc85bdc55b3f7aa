# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Identity, firmware, event log, boot order, tasks and power."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from ansible_collections.firstlight.cluster.plugins.module_utils.maas.client import Request, Response
from ansible_collections.firstlight.cluster.plugins.module_utils.redfish import errors
from ansible_collections.firstlight.cluster.plugins.module_utils.redfish.accounts import find_account, rotate
from ansible_collections.firstlight.cluster.plugins.module_utils.redfish.boot import Option, network_once, option, order
from ansible_collections.firstlight.cluster.plugins.module_utils.redfish.client import Answer, Resource
from ansible_collections.firstlight.cluster.plugins.module_utils.redfish.events import (
    Entry,
    News,
    log_place,
    news,
    read_log,
    worth_telling,
)
from ansible_collections.firstlight.cluster.plugins.module_utils.redfish.firmware import (
    Item,
    compare,
    read_inventory,
    update_request,
)
from ansible_collections.firstlight.cluster.plugins.module_utils.redfish.identity import (
    Service,
    discover,
    enrolment,
    identity,
    read_identity,
)
from ansible_collections.firstlight.cluster.plugins.module_utils.redfish.waiting import (
    reset,
    restart,
    task_path,
    wait_for_power,
    wait_for_task,
)

from lab.bmc.places import SIMPLE_UPDATE, TEST_EVENT
from lab.bmc.profiles import PROFILES
from tests.unit.lab_bmc.world import MACHINE

from .bench import PASSWORD, Bench, answer


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


# -- identity ----------------------------------------------------------------------------------


@pytest.mark.parametrize("profile", PROFILES)
def test_the_machine_is_known_whatever_the_vendor(tmp_path: Path, profile: str) -> None:
    bench = Bench(tmp_path, profile)
    with bench.client() as client:
        service = discover(client)
        found = read_identity(client, service)
    assert service.system.path == bench.bmc.service._at.system
    assert (found.serial, found.architecture) == (MACHINE.serial, "amd64/generic")
    assert [nic.mac for nic in found.nics] == [MACHINE.mac]
    given = enrolment("node01", found, "https://bmc", "admin", MACHINE.serial)
    assert given == {
        "name": "node01",
        "architecture": "amd64/generic",
        "mac_addresses": [MACHINE.mac],
        "power_type": "redfish",
        "power_parameters": {
            "power_address": "https://bmc",
            "power_user": "admin",
            "node_id": PROFILES[profile].system,
        },
    }


def made(system: dict[str, Any], *interfaces: dict[str, Any], functions: Any = (), processors: Any = ()) -> Any:
    return identity(Service(Resource("", {}), Resource("", system), None, None), interfaces, functions, processors)


@pytest.mark.parametrize(
    ("system", "serial"),
    [
        ({"Manufacturer": "Dell Inc.", "SKU": "ABC1234", "SerialNumber": "CNIVC00"}, "ABC1234"),
        ({"Manufacturer": "Dell Inc.", "SKU": "", "SerialNumber": "CNIVC00"}, "CNIVC00"),
        ({"Manufacturer": "Supermicro", "SKU": "PartNo", "SerialNumber": " S1 "}, "S1"),
        ({"SerialNumber": None}, ""),
    ],
)
def test_the_serial_is_the_one_on_the_label(system: dict[str, Any], serial: str) -> None:
    assert made(system).serial == serial


def test_nics_are_those_with_an_ethernet_address_each_once() -> None:
    found = made(
        {},
        {"Id": "1", "MACAddress": "AA-BB-CC-00-00-01", "LinkStatus": "LinkUp"},
        {"Id": "2", "MACAddress": None},
        {"Id": "3", "MACAddress": "00:00:00:00:00:00", "LinkStatus": "NoLink"},
        {"Id": "4", "MACAddress": "junk"},
        functions=[
            {"Id": "5", "Ethernet": {"PermanentMACAddress": "aa:bb:cc:00:00:01"}},
            {"Id": "6", "NetDevFuncType": "InfiniBand", "Ethernet": {"MACAddress": "aa:bb:cc:00:00:06"}},
            {"Id": "7", "Ethernet": {"MACAddress": "aa:bb:cc:00:00:07"}},
        ],
        processors=[{}, {"InstructionSet": "ARM-A64"}],
    )
    assert [(nic.id, nic.mac, nic.link) for nic in found.nics] == [
        ("1", "aa:bb:cc:00:00:01", True),
        ("7", "aa:bb:cc:00:00:07", None),
    ]
    assert found.architecture == "arm64/generic"


def test_another_machine_and_one_without_macs_are_refused() -> None:
    with pytest.raises(errors.InvalidResponse, match="has the serial S2, wanted is S1"):
        enrolment("node01", made({"SerialNumber": "S2"}), "a", "u", "S1")
    with pytest.raises(errors.InvalidResponse, match="tells no MAC address"):
        enrolment("node01", made({"SerialNumber": "s1"}), "a", "u", "S1")


def test_a_bmc_of_no_machine_is_refused(bench: Bench) -> None:
    bench.before = lambda request: answer(200, {"Members": []}) if request.url.endswith("/Systems") else None
    with bench.client() as client, pytest.raises(errors.InvalidResponse, match=r"has 0 systems .*\(none\)"):
        discover(client)


# -- firmware ----------------------------------------------------------------------------------

INSTALLED = [
    Item("Installed-159-2.1.0", "BIOS", "2.1.0"),
    Item("Previous-159-2.0.0", "BIOS", "2.0.0"),
    Item("GPU_1", "GPU", "96.00.1"),
    Item("GPU_2", "GPU", "96.00.2"),
    Item("PSU", "Power supply", "1", updateable=False),
]


@pytest.mark.parametrize(
    ("wanted", "outcome"),
    [
        ({"component": "BIOS", "version": "2.1.0"}, "same"),
        ({"component": "BIOS", "version": "2.10.0", "image_uri": "http://m/x"}, "update Installed-159-2.1.0"),
        ({"component": "GPU_*", "version": "96.00.2", "image_uri": "http://m/x"}, "update GPU_1"),
        ({"component": "BIOS", "version": "2.2.0"}, "159-2.1.0 2.1.0, the class wants 2.2.0. Add image_uri"),
        ({"component": "BIOS", "version": "2.0.9", "image_uri": "http://m/x"}, "which is older"),
        ({"component": "NIC", "version": "1"}, "the machine has no such firmware. Its inventory has GPU_1, GPU_2"),
        ({"component": "PSU", "version": "2", "image_uri": "http://m/x"}, "cannot be updated through the BMC"),
    ],
)
def test_firmware_is_compared_with_the_class(wanted: dict[str, str], outcome: str) -> None:
    found = compare(INSTALLED, [wanted])
    told = ["same" for _ in found.same]
    told += ["update " + ", ".join(item.id for item in update.items) for update in found.updates]
    told += [str(refusal) for refusal in found.refusals]
    assert len(told) == 1 and outcome in told[0]


def test_a_downgrade_may_be_allowed() -> None:
    wanted = [{"component": "BIOS", "version": "2.0.9", "image_uri": "http://m/x"}]
    assert [update.version for update in compare(INSTALLED, wanted, allow_downgrade=True).updates] == ["2.0.9"]


def test_an_update_is_asked_for_as_the_bmc_takes_it() -> None:
    action = {"target": "/t", "TransferProtocol@Redfish.AllowableValues": ["HTTP"]}
    service = {"Actions": {"#UpdateService.SimpleUpdate": action}}
    assert update_request(service, "http://m/x") == ("/t", {"ImageURI": "http://m/x", "TransferProtocol": "HTTP"})
    with pytest.raises(ValueError, match="by HTTP, not by HTTPS"):
        update_request(service, "https://m/x")
    with pytest.raises(ValueError, match="no SimpleUpdate"):
        update_request({}, "http://m/x")


@pytest.mark.parametrize("component", ["BIOS", "BMC"])
def test_an_update_is_waited_for_also_while_the_bmc_restarts(bench: Bench, component: str) -> None:
    bench.bmc.images["http://m/x"] = json.dumps({"component": component, "version": "2.0"}).encode()
    seen: list[str] = []
    with bench.client() as client:
        service = discover(client)
        path = task_path(client.post(SIMPLE_UPDATE, {"ImageURI": "http://m/x"}))
        task = wait_for_task(client, path, 60, 1, lambda task: seen.append(task.state))
        assert task.state == ("Pending" if component == "BIOS" else "Completed")
        assert seen[0] == "New" and "Running" in seen
        restart(client, service.system.path, 60)
        versions = {item.id: item.version for item in read_inventory(client, service.root.body)}
    assert versions[component] == "2.0"


def test_an_update_that_fails_and_one_that_never_ends_are_told(bench: Bench) -> None:
    with bench.client() as client:
        path = task_path(client.post(SIMPLE_UPDATE, {"ImageURI": "http://m/none"}))
        task = wait_for_task(client, path, 60, 1)
        assert task.failed and "could not be downloaded" in str(task)
        bench.before = lambda request: answer(200, {"TaskState": "Running", "PercentComplete": 40})
        with pytest.raises(errors.TimedOut, match=r"did not end within 30 s; it was Running, 40 %"):
            wait_for_task(client, path, 30, 1)
        bench.before = lambda request: answer(404)
        assert wait_for_task(client, path, 30, 1).state == "Gone"


@pytest.mark.parametrize(
    ("told", "path"),
    [
        (Answer(202, {}, "/t/1"), "/t/1"),
        (Answer(200, {"@odata.type": "#Task.v1_7_0.Task", "@odata.id": "/t/2"}), "/t/2"),
        (Answer(200, {"@odata.type": "#Bios.v1_2_0.Bios", "@odata.id": "/b"}), ""),
        (Answer(204, {}), ""),
    ],
)
def test_a_task_is_found_where_it_is_told(told: Answer, path: str) -> None:
    assert task_path(told) == path


# -- event log ---------------------------------------------------------------------------------


@pytest.mark.parametrize("profile", ["generic", "supermicro"])
def test_the_log_is_read_whole_and_in_order(tmp_path: Path, profile: str) -> None:
    bench = Bench(tmp_path, profile)
    for number in range(1, 13):
        bench.bmc.ask("POST", TEST_EVENT, {"Message": f"event {number}", "Severity": "Critical"})
    with bench.client() as client:
        entries = read_log(client, discover(client))
    assert [entry.message for entry in news(entries, "").entries] == [f"event {number}" for number in range(1, 13)]


class Links:
    """A log that is listed as links only, the oldest first; each reading of one takes `seconds`."""

    def __init__(self, bench: Bench, names: Sequence[str], seconds: float = 0.0) -> None:
        self.bench = bench
        self.read: list[str] = []
        with bench.client() as client:
            place = log_place(client, discover(client))
        members = [{"@odata.id": f"{place}/{name}"} for name in names]

        def tell(request: Request) -> Response | None:
            path, _, name = urlsplit(request.url).path.rpartition("/")
            if urlsplit(request.url).path == place:
                return answer(200, {"Members": members})
            if path != place:
                return None
            self.read.append(name)
            bench.wait(seconds)
            return answer(200, {"Id": name, "Created": name, "Message": f"event {name}", "Severity": "Critical"})

        bench.before = tell

    def news(self, mark: str = "") -> News:
        self.read.clear()
        with self.bench.client() as client:
            return news(read_log(client, discover(client), mark), mark)


def test_entries_that_are_only_linked_are_read_back_to_the_mark(bench: Bench) -> None:
    first = Links(bench, ["8", "9", "10"]).news()
    assert [each.id for each in first.entries] == ["8", "9", "10"]
    later = Links(bench, ["8", "9", "10", "11", "12"])
    assert [each.id for each in later.news(first.mark).entries] == ["11", "12"]
    assert later.read == ["12", "11", "10"], "each is a request of its own"
    unnumbered = Links(bench, ["a", "b", "c"])
    mark = unnumbered.news().mark
    assert unnumbered.news(mark).entries == () and unnumbered.read == ["a", "b", "c"], "nothing tells the order before"


def test_a_log_that_takes_too_long_is_told_instead_of_waited_for(bench: Bench) -> None:
    links = Links(bench, [str(number) for number in range(1, 5001)], seconds=4.0)
    with pytest.raises(errors.TimedOut, match=r"after 90 s its event log was not read to the end \(23 entries\)"):
        links.news()
    assert len(links.read) == 23


def entries(*numbers: int) -> list[Entry]:
    return [Entry(str(number), f"2027-01-01T00:00:{number:02}Z", "Critical", f"event {number}") for number in numbers]


def test_only_what_came_after_the_mark_is_new() -> None:
    first = news(entries(2, 1), "")
    assert ([entry.id for entry in first.entries], first.restarted) == (["1", "2"], False)
    later = news(entries(4, 3, 2, 1), first.mark)
    assert ([entry.id for entry in later.entries], later.restarted) == (["3", "4"], False)
    assert news(entries(4, 3, 2, 1), later.mark).entries == ()


def test_after_a_clearing_everything_is_new_also_with_the_same_numbers() -> None:
    mark = news(entries(1, 2), "").mark
    again = [Entry("2", "2027-02-01T00:00:00Z", "Critical", "another")]
    found = news(again, mark)
    assert (found.entries, found.restarted) == (tuple(again), True)
    assert news([], mark) == news([], mark) and news([], mark).mark == ""


def test_entries_without_numbers_are_ordered_by_time_and_without_severity_told() -> None:
    listed = [Entry("b", "2027-01-02", "", "later"), Entry("a", "2027-01-01", "Warning", "earlier")]
    found = news(listed, "")
    assert [entry.id for entry in found.entries] == ["a", "b"]
    assert [entry.id for entry in worth_telling(found.entries)] == ["b"]


# -- boot, power, accounts ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        ({"Alias": "Pxe"}, "pxe"),
        ({"DisplayName": "UEFI PXEv4 (MAC:AABB)"}, "pxe"),
        ({"DisplayName": "NIC 1", "UefiDevicePath": "PciRoot(0x0)/MAC(AA,0x1)/IPv4(0.0.0.0)"}, "pxe"),
        ({"DisplayName": "Ubuntu"}, "disk"),
        ({"DisplayName": "Samsung NVMe"}, "disk"),
        ({"DisplayName": "Generic USB"}, "usb"),
        ({"DisplayName": "EFI Shell"}, "other"),
    ],
)
def test_boot_options_are_told_apart(body: dict[str, Any], kind: str) -> None:
    assert option(body).kind == kind


def test_the_order_is_by_kind_and_leaves_the_rest_as_it_is() -> None:
    options = [Option("1", "", "disk"), Option("2", "", "pxe"), Option("3", "", "other"), Option("4", "", "pxe")]
    assert order(["3", "1", "2", "4"], options, ["pxe", "disk"]) == ["2", "4", "1", "3"]
    assert order(["9", "1"], options, ["disk"]) == ["1", "9"]


def test_network_boot_once_is_asked_for_only_where_it_is_not_set() -> None:
    boot = {"BootSourceOverrideTarget": "None", "BootSourceOverrideEnabled": "Disabled"}
    wanted = {"BootSourceOverrideTarget": "Pxe", "BootSourceOverrideEnabled": "Once"}
    assert network_once({"Boot": boot}) == wanted
    assert network_once({"Boot": wanted}) == {}
    with pytest.raises(ValueError, match="takes no BootSourceOverrideTarget Pxe, only Hdd"):
        network_once({"Boot": {**boot, "BootSourceOverrideTarget@Redfish.AllowableValues": ["Hdd"]}})
    with pytest.raises(ValueError, match="no boot override"):
        network_once({})


@pytest.mark.parametrize("profile", ["generic", "supermicro"])
def test_power_that_is_so_already_is_as_good(tmp_path: Path, profile: str) -> None:
    bench = Bench(tmp_path, profile)
    system = bench.bmc.service._at.system
    with bench.client() as client:
        for kind, state in (("On", "On"), ("On", "On"), ("ForceOff", "Off"), ("ForceOff", "Off")):
            reset(client, system, kind)
            wait_for_power(client, system, state, 10)
        with pytest.raises(errors.RedfishError, match="takes no reset of kind Nmi, only On"):
            reset(client, system, "Nmi")
        with pytest.raises(errors.TimedOut, match=r"did not become On within 10 s; it is Off"):
            wait_for_power(client, system, "On", 10)


def change(bench: Bench, old: str, new: str, dry: bool = False) -> bool:
    return rotate(bench.client, "admin", old, new, dry)


def test_a_password_is_changed_once_and_proved(bench: Bench) -> None:
    assert change(bench, PASSWORD, "a-new-password", dry=True) is True
    assert change(bench, PASSWORD, "a-new-password") is True
    assert change(bench, PASSWORD, "a-new-password") is False, "the new one holds already"
    with bench.client("a-new-password") as client, pytest.raises(errors.RedfishError, match="no account somebody"):
        find_account(client, discover(client), "somebody")


def test_a_password_that_is_refused_leaves_the_old_one_and_is_not_shown(bench: Bench) -> None:
    with pytest.raises(errors.BadRequest) as caught:
        change(bench, PASSWORD, "hidden")
    assert "hidden" not in str(caught.value)
    with bench.client():
        pass


def test_a_password_that_does_not_work_is_taken_back(bench: Bench) -> None:
    """The BMC cuts it off, as some do, and ends no session."""

    def cut(request: Request) -> Response | None:
        if request.method == "PATCH" and b"a-new-password" in (request.body or b""):
            account = bench.bmc.service.board
            account.change_account("1", {"password": "a-new"})
            return answer(204)
        return None

    bench.before = cut
    with pytest.raises(errors.RedfishError, match="The old one was put back and holds") as caught:
        change(bench, PASSWORD, "a-new-password")
    assert "a-new-password" not in str(caught.value)
    with bench.client():
        pass


def test_where_neither_holds_both_are_to_be_kept(bench: Bench) -> None:
    def cut(request: Request) -> Response | None:
        if request.method == "PATCH":
            bench.bmc.service.board.change_account("1", {"password": "another"})
            bench.bmc.service._accounts.end_sessions("admin")
            return answer(204) if b"a-new-password" in (request.body or b"") else None
        return None

    bench.before = cut
    with pytest.raises(errors.RedfishError, match=r"could not be put back .* Keep both passwords"):
        change(bench, PASSWORD, "a-new-password")
