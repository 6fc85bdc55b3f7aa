# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Networks of the region: what is made can be read, changed and deleted, and what cannot be is refused."""

from __future__ import annotations

from typing import Any

import pytest

from .world import Answer, World, hardware_of, mac_of


def _rack(world: World) -> str:
    return str(world.get("rackcontrollers/")[0]["system_id"])


def _refused(answer: Answer, **errors: str) -> None:
    assert answer.status == 400, answer.text
    assert {field: messages[0] for field, messages in answer.json.items()} == errors


@pytest.fixture
def subnet(world: World) -> Any:
    """A subnet on a VLAN of a fabric of its own."""
    fabric = world.post("fabrics/", ("name", "rails"))
    vlan = world.post(f"fabrics/{fabric['id']}/vlans/", ("vid", "100"), ("name", "pxe"), ("mtu", "9000"))
    return world.post("subnets/", ("cidr", "10.9.0.0/24"), ("vlan", str(vlan["id"])), ("gateway_ip", "10.9.0.1"))


def test_fabric_vlan_and_space_live_and_die(world: World, subnet: Any) -> None:
    fabric, vlan = subnet["vlan"]["fabric_id"], subnet["vlan"]["id"]
    assert [one["vid"] for one in world.get(f"fabrics/{fabric}/vlans/")] == [0, 100]
    assert world.get("fabrics/rails/")["id"] == fabric
    _refused(world.call("POST", "fabrics/", ("name", "rails")), name="Fabric with this Name already exists.")
    _refused(
        world.call("POST", f"fabrics/{fabric}/vlans/", ("vid", "100")),
        vid="A VLAN with the specified VID already exists in the destination fabric.",
    )
    _refused(world.call("POST", f"fabrics/{fabric}/vlans/", ("vid", "4095")), vid="VID must be between 0 and 4094.")
    assert world.call("PUT", f"fabrics/{fabric}/", ("name", "rails2")).json["name"] == "rails2"
    space = world.post("spaces/", ("name", "compute"))
    assert world.call("PUT", f"vlans/{vlan}/", ("space", str(space["id"]))).json["space"] == "compute"
    assert [one["name"] for one in world.get("spaces/")] == ["compute", "undefined"]
    assert world.get("subnets/10.9.0.0%2F24/")["space"] == "compute"
    assert world.call("DELETE", f"spaces/{space['id']}/").status == 204
    assert world.get(f"vlans/{vlan}/")["space"] == "undefined"
    assert world.call("DELETE", f"fabrics/{fabric}/").status == 400, "a subnet is in it"
    assert world.call("DELETE", f"fabrics/{fabric}/vlans/0/").status == 400, "the untagged one stays"
    assert world.call("DELETE", f"vlans/{vlan}/").status == 204
    assert world.call("GET", f"subnets/{subnet['id']}/").status == 404
    assert world.call("DELETE", f"fabrics/{fabric}/").status == 204
    assert world.call("DELETE", "fabrics/0/").status == 400


def test_dhcp_needs_a_rack_and_a_dynamic_range(world: World, subnet: Any) -> None:
    vlan = f"fabrics/{subnet['vlan']['fabric_id']}/vlans/100/"
    answer = world.call("PUT", vlan, ("dhcp_on", "true"))
    _refused(
        answer,
        dhcp_on="dhcp can only be turned on when a dynamic IP range is defined.",
        __all__="dhcp can only be turned on when a primary rack controller is set.",
    )
    world.post("ipranges/", ("type", "dynamic"), ("start_ip", "10.9.0.100"), ("end_ip", "10.9.0.200"))
    _refused(
        world.call("PUT", vlan, ("primary_rack", "nosuch")),
        primary_rack="Select a valid choice. That choice is not one of the available choices.",
    )
    shown = world.call("PUT", vlan, ("dhcp_on", "true"), ("primary_rack", _rack(world))).json
    assert (shown["dhcp_on"], shown["primary_rack"]) == (True, _rack(world))
    assert world.get("notifications/") == []
    assert world.call("DELETE", f"subnets/{subnet['id']}/").status == 400, "DHCP serves it"
    assert world.call("PUT", vlan, ("dhcp_on", "false")).json["dhcp_on"] is False
    assert world.call("DELETE", f"subnets/{subnet['id']}/").status == 204
    assert world.get("ipranges/") == []


def test_ranges_change_and_do_not_overlap(world: World, subnet: Any) -> None:
    first = world.post("ipranges/", ("type", "reserved"), ("start_ip", "10.9.0.10"), ("end_ip", "10.9.0.19"))
    assert world.call("PUT", f"ipranges/{first['id']}/", ("end_ip", "10.9.0.29")).json["end_ip"] == "10.9.0.29"
    second = world.post("ipranges/", ("type", "reserved"), ("start_ip", "10.9.0.30"), ("end_ip", "10.9.0.39"))
    answer = world.call("PUT", f"ipranges/{second['id']}/", ("start_ip", "10.9.0.29"))
    assert "conflicts with an existing range" in answer.json["start_ip"][0]
    assert world.get(f"ipranges/{second['id']}/")["start_ip"] == "10.9.0.30"
    statistics = world.get(f"subnets/{subnet['id']}/?op=statistics")
    assert (statistics["num_unavailable"], statistics["num_available"]) == (31, 223)
    assert world.call("DELETE", f"ipranges/{second['id']}/").status == 204
    assert world.call("DELETE", f"ipranges/{second['id']}/").status == 404
    reserved = world.get(f"subnets/{subnet['id']}/?op=reserved_ip_ranges")
    assert [(one["start"], one["end"]) for one in reserved] == [("10.9.0.1", "10.9.0.1"), ("10.9.0.10", "10.9.0.29")]
    _refused(
        world.call("POST", "ipranges/", ("type", "dynamic"), ("start_ip", "10.9.0.1"), ("end_ip", "10.9.0.5")),
        start_ip="Requested dynamic range conflicts with an existing IP address.",
        end_ip="Requested dynamic range conflicts with an existing IP address.",
    )


def test_a_subnet_changes_and_refuses(world: World, subnet: Any) -> None:
    path = f"subnets/{subnet['id']}/"
    changed = world.call("PUT", path, ("name", "pxe"), ("dns_servers", "10.9.0.2 10.9.0.3"), ("managed", "false")).json
    assert (changed["name"], changed["dns_servers"], changed["managed"]) == ("pxe", ["10.9.0.2", "10.9.0.3"], False)
    _refused(world.call("PUT", path, ("gateway_ip", "10.8.0.1")), gateway_ip="Gateway IP must be within CIDR range.")
    _refused(
        world.call("POST", "subnets/", ("cidr", "0.0.0.0/0")),
        cidr="Prefix length must be greater than 0.",
        __all__="Subnet 0.0.0.0/0 would overlap with existing subnets.",
    )
    _refused(
        world.call("POST", "subnets/", ("cidr", "10.7.0.0/24"), ("vid", "55")),
        vid="No VLAN with vid 55 in default fabric.",
    )
    assert world.get(path)["gateway_ip"] == "10.9.0.1"


def _ready(world: World) -> tuple[str, str]:
    system_id = world.create("node01", 1, kind="manual")
    world.post(f"machines/{system_id}/?op=commission")
    order = world.pxe(mac_of(1))
    world.report(order["results_url"], {"token": order["token"], "hardware": hardware_of(1), "exit_status": 0})
    return system_id, str(world.machine(system_id)["interface_set"][0]["id"])


def test_links_of_a_machine(world: World) -> None:
    system_id, interface = _ready(world)
    path = f"nodes/{system_id}/interfaces/{interface}/"
    subnet = world.get("subnets/")[0]
    before = world.get(path)["links"]
    linked = world.post(
        f"{path}?op=link_subnet", ("mode", "STATIC"), ("subnet", str(subnet["id"])), ("ip_address", "198.18.7.77")
    )
    assert [link["mode"] for link in linked["links"]] == ["auto", "static"]
    held = world.get(f"subnets/{subnet['id']}/?op=ip_addresses")
    assert [(one["ip"], one["node_summary"]["hostname"]) for one in held] == [("198.18.7.77", "node01")]
    again = world.call(
        "POST",
        f"{path}?op=link_subnet",
        ("mode", "static"),
        ("subnet", str(subnet["id"])),
        ("ip_address", "198.18.7.77"),
    )
    _refused(again, ip_address="IP address is already in use.")
    outside = world.call(
        "POST", f"{path}?op=link_subnet", ("mode", "static"), ("subnet", str(subnet["id"])), ("ip_address", "10.0.0.1")
    )
    assert "IP address is not in the given subnet" in outside.json["ip_address"][0]
    assert world.call("DELETE", f"subnets/{subnet['id']}/").status == 400
    world.post(f"{path}?op=unlink_subnet", ("id", str(linked["links"][1]["id"])))
    assert world.get(path)["links"] == before
    assert world.call("POST", f"{path}?op=unlink_subnet", ("id", "9999")).status == 400
    assert world.post(f"{path}?op=disconnect")["vlan"] is None
    restored = world.post(f"machines/{system_id}/?op=restore_networking_configuration")
    assert restored["interface_set"][0]["links"][0]["mode"] == "auto"


def test_a_nic_is_added_to_a_machine(world: World) -> None:
    system_id = world.create("node01", 1)
    path = f"nodes/{system_id}/interfaces/?op=create_physical"
    added = world.post(path, ("mac_address", "52:54:00:00:99:01"))
    assert (added["name"], added["vlan"], added["links"]) == ("eth1", None, [])
    again = world.call("POST", path, ("mac_address", "52:54:00:00:99:01"))
    _refused(again, mac_address="This MAC address is already in use by node01.")
    assert world.call("POST", path).status == 400


def test_a_deployed_machine_keeps_its_links(world: World) -> None:
    system_id, interface = _ready(world)
    world.post(f"machines/{system_id}/?op=deploy")
    answer = world.call("POST", f"nodes/{system_id}/interfaces/{interface}/?op=disconnect")
    assert answer.status == 409
    assert "because the machine is not New, Ready" in answer.text


def test_storage_layout_of_a_ready_machine(world: World) -> None:
    system_id, _ = _ready(world)
    assert (
        world.post(f"machines/{system_id}/?op=set_storage_layout", ("storage_layout", "blank"))["boot_disk"][
            "partitions"
        ]
        == []
    )
    shown = world.post(f"machines/{system_id}/?op=restore_storage_configuration")
    assert len(shown["boot_disk"]["partitions"]) == 1
    other = world.create("node02", 2, kind="manual")
    answer = world.call(
        "POST", "machines/?op=clone", ("source", system_id), ("destinations", other), ("storage", "true")
    )
    assert answer.status == 400, "it is not Ready"
