"""Test hosts on one machine, each with a network address, processes, host name, home and SSH server of its own.

A host is a network namespace on a bridge, and in it a process namespace that dies as a whole, as a machine does.
"""

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self

PROGRAMS = ("ip", "rsync", "setpriv", "ssh", "ssh-keygen", "sshd", "unshare")
SEARCHED = os.environ["PATH"] + ":/usr/sbin:/sbin"
START_SECONDS = 60

# Runs as the host's first process. Its /tmp/ray is its own, where Ray keeps the address of the cluster it belongs to.
BOOT = """
set -e
hostname {name}
mkdir -p /tmp/ray /run/sshd
mount -t tmpfs tmpfs /tmp/ray
mount -t tmpfs tmpfs /dev/shm
mount --bind {folder}/home {home}
mount --bind {folder}/passwd /etc/passwd
mount --bind {folder}/hosts /etc/hosts
exec "$(command -v sshd)" -D -e -f {folder}/sshd_config
"""
SSHD = """
ListenAddress {address}
HostKey {key}
AuthorizedKeysFile {key}.pub
AuthenticationMethods publickey
UsePAM no
StrictModes no
PidFile none
"""


def what_is_missing() -> str | None:
    """Why no hosts can be made here, or None."""
    absent = [name for name in PROGRAMS if shutil.which(name, path=SEARCHED) is None]
    if absent:
        return f"not installed: {', '.join(absent)}"
    if os.geteuid() != 0:
        return "network namespaces need root"
    tried = subprocess.run(["unshare", "--net", "--pid", "--fork", "--mount", "--uts", "true"], check=False)
    return "this machine allows no namespaces" if tried.returncode else None


@dataclass(frozen=True)
class Host:
    """A host that runs; `folder` is what is its own on disk."""

    name: str
    address: str
    folder: Path
    process: "subprocess.Popen[bytes]"

    def kill(self) -> None:
        """End every process of it at once."""
        self.process.kill()
        self.process.wait()


@dataclass(frozen=True)
class Lab:
    """The network that hosts are on: `a.b.c.1` is this machine."""

    folder: Path
    tag: str
    network: str  # the first three numbers of its addresses

    @classmethod
    def of_this_process(cls, folder: Path) -> Self:
        """A lab whose names and addresses another process's lab does not have."""
        return cls(folder, tag=f"lf{os.getpid() % 100_000}", network=f"10.173.{os.getpid() % 250}")

    @property
    def key(self) -> Path:
        """The private key by which hosts are reached, and reach each other."""
        return self.folder / "key"

    @property
    def home(self) -> Path:
        """The home on every host; each sees its own there."""
        return self.folder / "home"


@contextmanager
def hosts(folder: Path, names: tuple[str, ...], variables: dict[str, str]) -> Iterator[tuple[Lab, dict[str, Host]]]:
    """Bring hosts up, with these variables in their .bashrc, and clear all away after."""
    lab = Lab.of_this_process(folder)
    lab.home.mkdir()
    _run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", lab.key)
    up: dict[str, Host] = {}
    try:
        _run("ip", "link", "add", lab.tag, "type", "bridge")
        _run("ip", "address", "add", f"{lab.network}.1/24", "dev", lab.tag)
        _run("ip", "link", "set", lab.tag, "up")
        for number, name in enumerate(names):
            up[name] = _boot(lab, name, number, names, variables)
        for host in up.values():
            _wait_for_ssh(lab, host)
        yield lab, up
    finally:
        for host in up.values():
            host.kill()
        for number in range(len(up)):  # links first: sockets still closing keep a namespace, and its links, for a while
            _run("ip", "link", "delete", f"{lab.tag}v{number}")
            _run("ip", "netns", "delete", f"{lab.tag}-{number}")
        _run("ip", "link", "delete", lab.tag)


def _boot(lab: Lab, name: str, number: int, names: tuple[str, ...], variables: dict[str, str]) -> Host:
    address, folder, namespace = f"{lab.network}.{10 + number}", lab.folder / name, f"{lab.tag}-{number}"
    (folder / "home").mkdir(parents=True)
    known = [f"{lab.network}.{10 + i} {other}" for i, other in enumerate(names)]
    (folder / "hosts").write_text("\n".join(["127.0.0.1 localhost", *known, ""]))
    (folder / "passwd").write_text(_passwd_with_root_at(lab.home))
    (folder / "sshd_config").write_text(SSHD.format(address=address, key=lab.key))
    (folder / "home" / ".bashrc").write_text("".join(f"export {key}={value}\n" for key, value in variables.items()))
    link = f"{lab.tag}v{number}"
    _run("ip", "netns", "add", namespace)
    _run("ip", "link", "add", link, "type", "veth", "peer", "name", "eth0", "netns", namespace)
    _run("ip", "link", "set", link, "master", lab.tag, "up")
    _run("ip", "-n", namespace, "address", "add", f"{address}/24", "dev", "eth0")
    for device in ("lo", "eth0"):
        _run("ip", "-n", namespace, "link", "set", device, "up")
    _run("ip", "-n", namespace, "route", "add", "default", "via", f"{lab.network}.1")
    # setpriv: nothing of the host outlives the tests, even if they are killed.
    inside = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc", "--mount", "--uts", "bash", "-c"]
    script = BOOT.format(name=name, folder=folder, home=lab.home)
    command = ["setpriv", "--pdeathsig", "KILL", "ip", "netns", "exec", namespace, *inside, script]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, env=_environment(), stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    return Host(name, address, folder, process)


def _passwd_with_root_at(home: Path) -> str:
    others = [line for line in Path("/etc/passwd").read_text().splitlines() if not line.startswith("root:")]
    return "\n".join([f"root:x:0:0:root:{home}:/bin/bash", *others, ""])


def _wait_for_ssh(lab: Lab, host: Host) -> None:
    command = ["ssh", "-i", str(lab.key), "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null"]
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        with suppress(subprocess.TimeoutExpired):
            tried = subprocess.run(
                [*command, f"root@{host.address}", "hostname"], capture_output=True, text=True, timeout=5, check=False
            )
            if tried.stdout.strip() == host.name:
                return
        time.sleep(0.2)
    raise AssertionError(f"{host.name} does not answer:\n{(host.folder / 'log').read_text()}")


def _environment() -> dict[str, str]:
    return {**os.environ, "PATH": SEARCHED}


def _run(*command: object) -> None:
    subprocess.run([str(word) for word in command], env=_environment(), check=True)
