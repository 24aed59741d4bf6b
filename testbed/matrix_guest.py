"""A guest that makes the matrix of OOM kills (testbed/matrix) and hands out what its kernel said.

One file tree, busybox and a program that eats memory, boots under two sorts of kernel: our own builds as User-Mode
Linux, and a distribution's own kernel in QEMU with software emulation, which has several CPUs and NUMA nodes.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from testbed import cache, debian, kernel
from testbed.cache import HERE, Artifact
from testbed.debian import Package
from testbed.shell import TestbedError, capture, run, tail

_MATRIX = HERE / "matrix"
_BUSYBOX = Package(
    "busybox-static",
    "1:1.35.0-4+deb12u1+b1",
    "3d3fdbe91d4660c873e14b092c213fe81c1da6362daa236eb25d0171eb108744",
    suite="bookworm",
)
DISTRIBUTIONS = {
    "bookworm": Package(
        "linux-image-6.1.0-50-cloud-amd64",
        "6.1.176-1",
        "efe19f605b6f54a8352e68d85a629abb2d30b72a085faef603a9152590baa791",
        suite="bookworm",
    ),
    "bullseye": Package(
        "linux-image-5.10.0-32-cloud-amd64",
        "5.10.223-1",
        "fb4a1229952d892138532c1d9f40a7fd0bd408e4dcf969c12e4524b6a89fdcb8",
        suite="bullseye",
    ),
}
"""Debian's kernels for virtual machines. Bookworm's QEMU boots no kernel of 6.12 or newer."""
_MODULES = ("kernel/drivers/block/brd.ko",)
"""A RAM disk: what the guest swaps to."""
_LOG = ("log_buf_len=4M", "printk.devkmsg=on", "loglevel=1", "random.trust_cpu=on")


@dataclass(frozen=True)
class Recording:
    """What a guest left: its files by name, and the package that its kernel came from."""

    files: Mapping[str, bytes]
    package: str


def _fill_tree(folder: Path) -> None:
    log = cache.logs() / "matrix-guest.log"
    tree = folder / "tree"
    for name in ("bin", "dev", "proc", "sys"):
        (tree / name).mkdir(parents=True)
    sources = folder / "sources"
    sources.mkdir()
    debian.unpack(debian.download(_BUSYBOX, sources, log), sources, log)
    shutil.copyfile(sources / "bin" / "busybox", tree / "bin" / "busybox")
    (tree / "bin" / "busybox").chmod(0o755)
    run([tree / "bin" / "busybox", "--install", "-s", tree / "bin"], log=log)
    for link in (tree / "bin").iterdir():
        if link.is_symlink():
            link.unlink()
            link.symlink_to("busybox")
    shutil.rmtree(sources)
    warnings = ("-Wall", "-Wextra", "-Werror")
    run(["gcc", "-O1", "-static", *warnings, "-o", tree / "bin" / "eat", _MATRIX / "eat.c"], log=log)
    shutil.copyfile(_MATRIX / "init", tree / "init")
    (tree / "init").chmod(0o755)


def tree_artifact() -> Artifact:
    """Return the guest's file tree as an artifact: a folder `tree`."""
    return Artifact("matrix-guest", (_BUSYBOX.version, _MATRIX, "recipe 1"), _fill_tree)


def _unpack_image(package: Package, folder: Path) -> None:
    log = cache.logs() / "matrix-guest.log"
    deb = debian.download(package, folder, log)
    (folder / "version").write_text(deb.name + "\n")
    unpacked = folder / "unpacked"
    debian.unpack(deb, unpacked, log)
    images = list((unpacked / "boot").glob("vmlinuz-*"))
    if len(images) != 1:
        raise TestbedError(f"{deb.name} holds {len(images)} kernels, not one")
    images[0].rename(folder / "vmlinuz")
    for module in _MODULES:
        for found in (unpacked / "lib" / "modules").glob(f"*/{module}"):
            shutil.copyfile(found, folder / found.name)
    shutil.rmtree(unpacked)
    deb.unlink()


def image_artifact(distribution: str) -> Artifact:
    """Return a distribution's kernel as an artifact: `vmlinuz`, its modules that are needed, and `version`."""
    package = DISTRIBUTIONS[distribution]
    inputs = (package.name, package.version, *_MODULES, "recipe 1")
    return Artifact(f"distribution-{distribution}", inputs, lambda folder: _unpack_image(package, folder))


def _boot(command: Sequence[str | Path], work: Path, timeout: float) -> Path:
    """Run a guest to its own power-off, and return its console's log. Raises TestbedError when it does not end."""
    console = work / "console.log"
    # a process namespace of its own: whatever the guest started ends with it
    sealed = ["unshare", "--fork", "--pid", "--kill-child=SIGKILL"]
    with console.open("w") as out:
        try:
            subprocess.run(
                [*sealed, *(str(word) for word in command)],
                stdout=out,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                timeout=timeout,
                check=False,
                env={**os.environ, "TMPDIR": os.environ.get("TMPDIR", "/dev/shm")},  # noqa: S108 - the guest's memory
            )
        except subprocess.TimeoutExpired as error:
            raise TestbedError(f"the guest did not end in {timeout:.0f} s; console:\n{tail(console)}") from error
    return console


def _checked(files: Mapping[str, bytes], package: str, console: Path) -> Recording:
    if "done" not in files:
        raise TestbedError(f"the guest died before its matrix was through; console:\n{tail(console)}")
    return Recording({name: data for name, data in files.items() if name != "done"}, package.strip())


def _lend(tree: Path, program: Path) -> None:
    """Put one of this machine's programs, with its libraries, into a guest's tree."""
    words = capture(["ldd", program]).split()
    for source in [program, *(Path(word) for word in words if word.startswith("/"))]:
        place = tree / source.relative_to("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, place)


def run_series(series: str, work: Path) -> Recording:
    """Run the matrix on our build of a kernel series, as a process. `work` is a new folder."""
    artifact = kernel.artifact(series)
    program = artifact.ensure() / "linux"
    tree = work / "tree"
    shutil.copytree(tree_artifact().ensure() / "tree", tree, symlinks=True)
    if series == kernel.SERIES:
        _lend(tree, Path("/usr/bin/dmesg"))
    swap = work / "swap"
    with swap.open("wb") as disk:
        disk.truncate(32 * 2**20)
    words = ["mem=192M", "rootfstype=hostfs", f"hostfs={tree}", "rw", "init=/init", f"ubd0={swap}", "SWAP=/dev/ubda"]
    words += ["con=null", "con0=fd:0,fd:1", f"uml_dir={work}", "umid=matrix", *_LOG]
    console = _boot([program, *words], work, timeout=240)
    out = tree / "out"
    files = {path.name: path.read_bytes() for path in out.iterdir()} if out.is_dir() else {}
    return _checked(files, (artifact.path / "version").read_text(), console)


def _initramfs(image: Path, work: Path) -> Path:
    tree = work / "tree"
    shutil.copytree(tree_artifact().ensure() / "tree", tree, symlinks=True)
    (tree / "modules").mkdir()
    for module in image.glob("*.ko"):
        shutil.copyfile(module, tree / "modules" / module.name)
    packed = work / "initramfs.gz"
    pack = f"cd '{tree}' && find . | bin/busybox cpio -o -H newc | gzip -1 > '{packed}'"
    run(["sh", "-c", pack], log=work / "initramfs.log")
    return packed


def run_distribution(distribution: str, work: Path) -> Recording:
    """Run the matrix on a distribution's own kernel in QEMU. `work` is a new folder."""
    image = image_artifact(distribution).ensure()
    result = work / "result.tar"
    nodes = []
    for node, size in enumerate(("160M", "96M")):
        nodes += ["-object", f"memory-backend-ram,id=m{node},size={size}"]
        nodes += ["-numa", f"node,nodeid={node},cpus={node},memdev=m{node}"]
    words: list[str | Path] = ["-accel", "tcg,thread=multi", "-cpu", "max", "-m", "256M", "-smp", "2", *nodes]
    words += ["-nodefaults", "-display", "none", "-no-reboot", "-serial", "stdio", "-serial", f"file:{result}"]
    line = ["console=ttyS0", "rdinit=/init", "SWAP=/dev/ram0", "RESULT=/dev/ttyS1", "panic=-1", *_LOG]
    words += ["-kernel", image / "vmlinuz", "-initrd", _initramfs(image, work), "-append", " ".join(line)]
    console = _boot(["qemu-system-x86_64", *words], work, timeout=600)
    return _checked(_untar(result), (image / "version").read_text(), console)


def _untar(archive: Path) -> dict[str, bytes]:
    files = {}
    try:
        with tarfile.open(archive) as packed:
            for member in packed:
                stream = packed.extractfile(member)
                if stream is not None:
                    files[Path(member.name).name] = stream.read()
    except (OSError, tarfile.TarError):
        return {}
    return files
