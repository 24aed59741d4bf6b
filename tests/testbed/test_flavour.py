"""The node's flavours: what the variables ask for, and that the node's files are as the edits expect."""

from __future__ import annotations

import pytest

from testbed.cache import HERE
from testbed.flavour import DRIVERS, RUNTIMES, Flavour, chosen
from testbed.rootfs import artifact
from testbed.shell import TestbedError


def test_the_usual_node_is_systemd_and_runc() -> None:
    assert chosen({}) == chosen({"NODE_DRIVER": "", "NODE_RUNTIME": ""}) == Flavour("systemd", "runc")
    assert chosen({}).usual


def test_an_unknown_value_is_refused_with_those_that_are_known() -> None:
    with pytest.raises(TestbedError, match="NODE_DRIVER=cgroupv1 is not known: use systemd or cgroupfs"):
        chosen({"NODE_DRIVER": "cgroupv1"})


def test_the_nodes_files_are_edited() -> None:
    flavour = chosen({"NODE_DRIVER": "cgroupfs", "NODE_RUNTIME": "crun"})
    files = {name: flavour.edited(name, (HERE / "node" / name).read_text()) for name in flavour.edits}
    assert "cgroupDriver: cgroupfs\n" in files["kubelet.yaml"]
    assert '    BinaryName = "/usr/bin/crun"\n    SystemdCgroup = false\n' in files["containerd.toml"]
    usual = Flavour()
    assert usual.edited("kubelet.yaml", "as it is") == "as it is"


def test_a_file_that_is_not_as_expected_is_named() -> None:
    with pytest.raises(TestbedError, match=r"kubelet\.yaml does not say"):
        Flavour("cgroupfs").edited("kubelet.yaml", "kind: KubeletConfiguration")


def test_every_flavour_has_a_disk_of_its_own() -> None:
    places = {artifact(Flavour(driver, runtime)).path for driver in DRIVERS for runtime in RUNTIMES}
    assert len(places) == 4
