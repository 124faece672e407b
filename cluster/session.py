"""Join a Ray cluster, or start one on this machine and stop it afterwards."""

import io
import logging
import os
import secrets
import socket
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import chdir, contextmanager, redirect_stdout, suppress
from ipaddress import ip_address
from pathlib import Path
from threading import Event, Thread
from typing import Any

import psutil
import ray
from ray._private import ray_constants
from ray._private.authentication.authentication_token_setup import (
    ensure_token_if_auth_enabled,
    maybe_enable_token_auth_if_token_available,
)
from ray._private.services import canonicalize_bootstrap_address  # how Ray itself reads an address
from ray._raylet import (  # type: ignore[attr-defined]  # compiled, and not in its stub
    AuthenticationMode,
    AuthenticationTokenLoader,
    Config,
    GcsClient,
    get_authentication_mode,
)
from ray.exceptions import AuthenticationError, RayError, RpcError

from cluster.nodes import nodes
from runners.core.environment import PROJECT, cores
from runners.core.errors import BadInput, ClusterLost, first_line
from runners.core.process import without_own_settings
from runners.core.quiet import native_stderr_hidden
from runners.core.scratch import LAST_WORDS, scratch

DEFAULT_PORT = 6379  # of `ray start --head`
CONNECT_TIMEOUT_SECONDS = 5
# How much of isolated environments a Ray started here keeps. Beyond its own 10 it would drop whichever has no run just
# then, and make it anew for the next.
ENVIRONMENTS_GIGABYTES = ("RAY_RUNTIME_ENV_PIP_CACHE_SIZE_GB", "100")
# A socket's path has at most 107 bytes, and below the folder that it is given Ray takes some 70 of them.
LONGEST_FOLDER = 20
GOES_ON = "what is recorded stays, and the same command goes on from there"
ENDED = f"error: this program ended at once, as when it or a process of Ray is killed; {GOES_ON}\n"
HEAD_POLL_SECONDS, HEAD_MISSES = 1.0, 5  # well within the minute after which Ray itself ends the driver
EXIT_CODE = 1  # of scripts whose runs did not all complete


@contextmanager
def session(address: str) -> Iterator[str]:
    """Connect to Ray for as long as the context lasts; yields one line saying where the runs go.

    `auto` joins RAY_ADDRESS or a `ray start --head` of this machine, and starts a private local Ray where there is
    neither; `local` always starts one; anything else is a cluster's HOST:PORT. Raises BadInput if it cannot be joined,
    and ClusterLost if Ray itself fails later.
    """
    with (
        scratch(_folder_for_sockets()) as folder,
        native_stderr_hidden(),  # where Ray's C++ dumps its stack before it ends this process
        # Ray prints what the raylet says of dead workers to stdout and has no switch for it; executors report events.
        redirect_stdout(io.StringIO()),
    ):
        last_words = folder / LAST_WORDS
        last_words.write_text(ENDED)
        agents: list[psutil.Process] = []
        try:
            where = _connect(address, folder)
            raylets = _raylets(folder)
            agents += [agent for raylet in raylets for agent in raylet.children()]
            left = Event()
            watched = (ray.get_runtime_context().gcs_address, raylets, left, last_words)
            Thread(target=_watch, args=watched, daemon=True).start()
            try:
                yield where
            except (RayError, ConnectionError) as error:
                raise ClusterLost(f"{_what_failed(error)}; {GOES_ON}") from error
            finally:
                left.set()
        finally:
            ray.shutdown()
            for agent in agents:  # which outlive a raylet that was killed
                with suppress(psutil.NoSuchProcess):
                    agent.kill()


def _watch(head: str, raylets: Sequence[psutil.Process], left: Event, last_words: Path) -> None:
    """Until the cluster is left, see that its head answers and that no raylet of our own dies.

    If either fails, end this process, with a sentence in `last_words`.

    Ray would end it too, a minute later, outright and in its own words. Its calls wait for the head so long, nothing
    can interrupt them, and so no exception would come through.
    """
    missed = 0
    while missed < HEAD_MISSES:
        if left.wait(HEAD_POLL_SECONDS):
            return
        missed = 0 if _answers(head) else missed + 1
        if not all(map(lives, raylets)):
            break
    if left.is_set():
        return
    last_words.write_text(
        f"error: the Ray cluster at {head} is gone; {GOES_ON}, with --address local or once the cluster is back\n"
    )
    os._exit(EXIT_CODE)


def lives(process: psutil.Process) -> bool:
    """Whether a process still runs; one that is dead and not yet waited for does not."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _raylets(folder: Path) -> list[psutil.Process]:
    """The raylet of our own Ray in the folder, if there is one: without it no run goes on, and none is placed."""
    raylets = (child for child in psutil.Process().children() if child.name() == "raylet")
    return [raylet for raylet in raylets if str(folder) in " ".join(raylet.cmdline())]


def _connect(address: str, folder: Path) -> str:
    _read_authentication()
    target = _target(address)
    if target is not None and not _answers(target):
        if address != "auto" or os.environ.get("RAY_ADDRESS"):
            raise BadInput(
                f"no Ray cluster answers at {target}; start one there with `ray start --head`, or use --address local"
            )
        target = None  # a cluster of this machine that crashed and left its address behind
    if target is not None:
        if address == "auto" and not os.environ.get("RAY_ADDRESS"):  # a token is offered unasked to this machine alone
            maybe_enable_token_auth_if_token_available(warn_if_disabled=False)
        _show_token(target)
    try:
        # Ray puts the current folder first where workers look for modules: let that be this very project.
        with _own_signals(), chdir(PROJECT), _private(folder) if target is None else _joined() as own:
            ray.init(
                address=target or "local",
                include_dashboard=False,
                log_to_driver=False,
                logging_level=logging.ERROR,
                **own,
            )
    except Exception as error:  # whatever its machine can do to it
        if target is None:
            raise BadInput(
                f"no Ray could be started on this machine: {first_line(error)}; mend that, or join a cluster with "
                "--address HOST:PORT"
            ) from error
        why = " ".join(str(error).split())  # Ray tells of versions that differ in a block of six lines
        raise BadInput(f"the Ray cluster at {target} could not be joined: {why}") from error
    if target is not None and get_authentication_mode() == AuthenticationMode.DISABLED and _reachable_from_outside():
        _warn(
            f"the Ray cluster at {target} lets in everyone who reaches it, and runs what they send; start it anew, "
            "after `ray get-auth-token --generate`, with RAY_AUTH_MODE=token and one ~/.ray/auth_token on all machines"
        )
    have = nodes()
    totals = f"{len(have)} node(s), {sum(n.cpus for n in have)} CPU(s), {sum(n.gpus for n in have)} GPU(s)"
    return f"Ray {ray.__version__} at {ray.get_runtime_context().gcs_address}: {totals}"


@contextmanager
def _own_signals() -> Iterator[None]:
    """Within the context Ray leaves SIGTERM alone: its own handler dumps a stack on the screen."""
    before = ray._private.utils.set_sigterm_handler
    ray._private.utils.set_sigterm_handler = lambda _handler: None
    try:
        yield
    finally:
        ray._private.utils.set_sigterm_handler = before


@contextmanager
def _joined() -> Iterator[dict[str, Any]]:
    """A cluster that is there has its own settings, and its processes their own environment."""
    yield {}


@contextmanager
def _private(folder: Path) -> Iterator[dict[str, Any]]:
    """Settings of a Ray of our own, and, for the processes that it starts within the context, their environment.

    It listens on this machine's loopback only, lets in who has the token that only its own processes know, needs no
    home, and hands on to runs none of the frameworks' own variables.
    """
    ours = {
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": secrets.token_hex(32),
        ray_constants.ENABLE_RAY_CLUSTERS_ENV_VAR: "0",  # Ray's switch for loopback, made for macOS and Windows
        "TMPDIR": str(folder),  # so that nothing is left of runs that are killed
    }
    clusters, ray_constants.ENABLE_RAY_CLUSTER = ray_constants.ENABLE_RAY_CLUSTER, False
    with without_own_settings():
        os.environ.setdefault(*ENVIRONMENTS_GIGABYTES)
        os.environ.pop("RAY_ADDRESS", None)
        os.environ.pop("RAY_AUTH_TOKEN_PATH", None)
        os.environ.update(ours)
        _read_authentication()
        try:
            # Ray lets everybody write into its folder; the one around it is ours alone.
            yield {"num_cpus": cores(), "_temp_dir": str(folder / "r")}
        finally:
            ray_constants.ENABLE_RAY_CLUSTER = clusters


def _read_authentication() -> None:
    """Have Ray take mode and token from the environment as it is now: it keeps those of an earlier session."""
    Config.initialize("")
    AuthenticationTokenLoader.instance().reset_cache()


def _folder_for_sockets() -> Path:
    """A folder in which a Ray of our own can have its sockets, and its logs."""
    tried = list(dict.fromkeys([tempfile.gettempdir(), "/tmp", "/var/tmp", "/dev/shm"]))
    for name in tried:
        if len(os.fsencode(name)) <= LONGEST_FOLDER and os.access(name, os.W_OK | os.X_OK):
            return Path(name)
    raise BadInput(
        f"Ray needs a folder that can be written and whose path has at most {LONGEST_FOLDER} bytes, and none of "
        f"{', '.join(tried)} is; set TMPDIR to one"
    )


def _what_failed(error: Exception) -> str:
    if "WrongClusterID" in str(error):
        return "the Ray cluster's head was started anew, and is another cluster now"
    return f"Ray failed: {first_line(error)}"


def _reachable_from_outside() -> bool:
    """Whether any node of the cluster has an address that not only its own machine has."""
    addresses = [ip_address(socket.gethostbyname(node["NodeManagerAddress"])) for node in ray.nodes() if node["Alive"]]
    return not all(address.is_loopback for address in addresses)


def _warn(sentence: str) -> None:
    sys.stderr.write(f"warning: {sentence}\n")


def _target(address: str) -> str | None:
    """HOST:PORT of the cluster to join by Ray's own rules, or None to start one."""
    if address == "local":
        return None
    variable = os.environ.get("RAY_ADDRESS") if address == "auto" else None
    named = variable or address
    if "://" in named or named.count(":") > 1:
        said = f"RAY_ADDRESS is {variable!r}, which" if variable else f"--address {address!r}"
        raise BadInput(f"{said} is not auto, local or a cluster's HOST:PORT, such as 10.0.0.1:{DEFAULT_PORT}")
    if named not in ("auto", "local") and ":" not in named:
        named = f"{named}:{DEFAULT_PORT}"
    if named == "local":
        return None
    try:
        return canonicalize_bootstrap_address(None if named == "auto" else named)  # type: ignore[arg-type]
    except (ValueError, OSError) as error:
        said = f"RAY_ADDRESS {variable!r}" if variable else f"--address {address!r}"
        raise BadInput(f"{said} is not auto, local or a cluster's HOST:PORT ({error})") from error


def _show_token(target: str) -> None:
    """Raise BadInput if the cluster does not let this process in: `ray.init` would try, aloud, for half a minute."""
    try:
        ensure_token_if_auth_enabled(create_token_if_missing=False)
        with native_stderr_hidden(), suppress(RpcError):
            GcsClient(address=target)
    except AuthenticationError as error:
        raise BadInput(
            f"the Ray cluster at {target} lets in only who has its token: set RAY_AUTH_MODE=token, and put the head's "
            "~/.ray/auth_token in the same place here, or its path in RAY_AUTH_TOKEN_PATH"
        ) from error


def _answers(target: str) -> bool:
    """Whether anything listens there: Ray itself would try for minutes."""
    host, port = target.rsplit(":", 1)
    try:
        socket.create_connection((host, int(port)), timeout=CONNECT_TIMEOUT_SECONDS).close()
    except (OSError, ValueError):
        return False
    return True
