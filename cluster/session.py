"""Join a Ray cluster, or start one on this machine and stop it afterwards."""

import io
import logging
import os
import secrets
import socket
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, chdir, contextmanager, nullcontext, redirect_stdout, suppress
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
from runners.core.errors import GOES_ON, BadInput, ClusterLost, first_line
from runners.core.process import without_own_settings
from runners.core.quiet import native_stderr_hidden
from runners.core.scratch import LAST_WORDS, scratch

DEFAULT_PORT = 6379  # of `ray start --head`
CONNECT_TIMEOUT_SECONDS = 5
# Disk space for isolated environments in a Ray started here. Beyond Ray's default of 10 GB, Ray would delete an
# environment whenever no run uses it, and install it again for the next run.
ENVIRONMENTS_GIGABYTES = ("RAY_RUNTIME_ENV_PIP_CACHE_SIZE_GB", "100")
# The path of a socket has at most 107 bytes. Ray appends about 70 bytes to the folder that it gets.
LONGEST_FOLDER = 20
ENDED = f"error: this program ended abruptly, because it or a process of Ray was killed; {GOES_ON}\n"
HEAD_POLL_SECONDS, HEAD_MISSES = 1.0, 5  # well before Ray ends the driver, which takes a minute
EXIT_CODE = 1  # the scripts' own for failed runs


@contextmanager
def session(address: str) -> Iterator[str]:
    """Connect to Ray while the context lasts; yield one line with Ray's version, address and resources.

    `auto` joins the cluster in RAY_ADDRESS or a `ray start --head` on this machine, and otherwise starts a private
    local Ray; `local` always starts one; any other `address` is a cluster's HOST:PORT. Raises BadInput if Ray cannot
    be joined or started, and ClusterLost if Ray fails later.
    """
    with (
        scratch(_folder_for_sockets()) as folder,
        native_stderr_hidden(),  # Ray's C++ code prints its stack there before it ends this process
        # Ray prints the raylet's messages on dead workers to stdout, and no option stops that; executors report deaths.
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
            for agent in agents:  # they outlive a raylet that was killed
                with suppress(psutil.NoSuchProcess):
                    agent.kill()


def _watch(head: str, raylets: Sequence[psutil.Process], left: Event, last_words: Path) -> None:
    """Watch the cluster until `left` is set: if its head stops answering or a raylet dies, end this process.

    The sentence that says why goes into the file `last_words`. No exception could do this: Ray's calls wait for the
    head for a minute, nothing can interrupt them, and then Ray ends the process with a message of its own.
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
    """Return whether the process still runs; a zombie does not."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _raylets(folder: Path) -> list[psutil.Process]:
    """Return the raylet of our own Ray in `folder`, if any: without it no run continues and none starts."""
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
        target = None  # a cluster on this machine crashed and left its address behind
    if target is not None:
        if address == "auto" and not os.environ.get("RAY_ADDRESS"):  # only this machine gets a token unasked
            maybe_enable_token_auth_if_token_available(warn_if_disabled=False)
        _check_token(target)
    try:
        settings: AbstractContextManager[dict[str, Any]] = _private(folder) if target is None else nullcontext({})
        with _sigterm_unchanged(), chdir(PROJECT), settings as own:
            # Ray's workers import modules from the current folder first, so it must be this project.
            ray.init(
                address=target or "local",
                include_dashboard=False,
                log_to_driver=False,
                logging_level=logging.ERROR,
                **own,
            )
    except Exception as error:  # a machine can make Ray fail in any way
        if target is None:
            raise BadInput(
                f"no Ray could be started on this machine: {first_line(error)}; mend that, or join a cluster with "
                "--address HOST:PORT"
            ) from error
        why = " ".join(str(error).split())  # where versions differ, Ray's message has six lines
        raise BadInput(f"the Ray cluster at {target} could not be joined: {why}") from error
    if target is not None and get_authentication_mode() == AuthenticationMode.DISABLED and _reachable_from_outside():
        sys.stderr.write(
            f"warning: the Ray cluster at {target} lets in everyone who reaches it, and runs what they send; restart "
            "it, after `ray get-auth-token --generate`, with RAY_AUTH_MODE=token and the same ~/.ray/auth_token on all "
            "machines\n"
        )
    living = nodes()
    totals = f"{len(living)} node(s), {sum(n.cpus for n in living)} CPU(s), {sum(n.gpus for n in living)} GPU(s)"
    return f"Ray {ray.__version__} at {ray.get_runtime_context().gcs_address}: {totals}"


@contextmanager
def _sigterm_unchanged() -> Iterator[None]:
    """Stop Ray from installing its SIGTERM handler, which prints a stack on the screen."""
    before = ray._private.utils.set_sigterm_handler
    ray._private.utils.set_sigterm_handler = lambda _handler: None
    try:
        yield
    finally:
        ray._private.utils.set_sigterm_handler = before


@contextmanager
def _private(folder: Path) -> Iterator[dict[str, Any]]:
    """Yield the settings of a private Ray, and set the environment of the processes that it starts in the context.

    This Ray listens on loopback only, accepts only clients with a token that only its own processes know, needs no
    home folder, and passes none of the frameworks' environment variables on to runs.
    """
    own = {
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": secrets.token_hex(32),
        ray_constants.ENABLE_RAY_CLUSTERS_ENV_VAR: "0",  # makes Ray use loopback, as on macOS and Windows
        "TMPDIR": str(folder),  # so that killed runs leave no files behind
    }
    clusters, ray_constants.ENABLE_RAY_CLUSTER = ray_constants.ENABLE_RAY_CLUSTER, False
    with without_own_settings():
        os.environ.setdefault(*ENVIRONMENTS_GIGABYTES)
        os.environ.pop("RAY_ADDRESS", None)
        os.environ.pop("RAY_AUTH_TOKEN_PATH", None)
        os.environ.update(own)
        _read_authentication()
        try:
            # Ray's folder is writable for everybody; the folder around it only for this user.
            yield {"num_cpus": cores(), "_temp_dir": str(folder / "r")}
        finally:
            ray_constants.ENABLE_RAY_CLUSTER = clusters


def _read_authentication() -> None:
    """Make Ray read mode and token from the environment again: it keeps those of an earlier session."""
    Config.initialize("")
    AuthenticationTokenLoader.instance().reset_cache()


def _folder_for_sockets() -> Path:
    """Return a folder for the sockets and logs of a private Ray; raises BadInput if none has a short enough path."""
    tried = list(dict.fromkeys([tempfile.gettempdir(), "/tmp", "/var/tmp", "/dev/shm"]))
    for name in tried:
        if len(os.fsencode(name)) <= LONGEST_FOLDER and os.access(name, os.W_OK | os.X_OK):
            return Path(name)
    raise BadInput(
        f"Ray needs a writable folder whose path has at most {LONGEST_FOLDER} bytes, and none of {', '.join(tried)} "
        "is one; set TMPDIR to one"
    )


def _what_failed(error: Exception) -> str:
    if "WrongClusterID" in str(error):
        return "the Ray cluster's head was restarted, and is another cluster now"
    return f"Ray failed: {first_line(error)}"


def _reachable_from_outside() -> bool:
    """Return whether any node of the cluster has an address other than loopback."""
    addresses = [ip_address(socket.gethostbyname(node["NodeManagerAddress"])) for node in ray.nodes() if node["Alive"]]
    return not all(address.is_loopback for address in addresses)


def _target(address: str) -> str | None:
    """Return HOST:PORT of the cluster to join, by Ray's own rules, or None to start one.

    Raises BadInput for any other form of address.
    """
    variable = os.environ.get("RAY_ADDRESS") if address == "auto" else None
    named = variable or address
    source = f"RAY_ADDRESS {variable!r}" if variable else f"--address {address!r}"
    refusal = f"{source} is not auto, local or a cluster's HOST:PORT, such as 10.0.0.1:{DEFAULT_PORT}"
    if "://" in named or named.count(":") > 1:
        raise BadInput(refusal)
    if named not in ("auto", "local") and ":" not in named:
        named = f"{named}:{DEFAULT_PORT}"
    if named == "local":
        return None
    try:
        return canonicalize_bootstrap_address(None if named == "auto" else named)  # type: ignore[arg-type]
    except (ValueError, OSError) as error:
        raise BadInput(f"{refusal} ({error})") from error


def _check_token(target: str) -> None:
    """Raise BadInput if the cluster rejects this process: `ray.init` would print errors for half a minute."""
    try:
        ensure_token_if_auth_enabled(create_token_if_missing=False)
        with native_stderr_hidden(), suppress(RpcError):
            GcsClient(address=target)
    except AuthenticationError as error:
        raise BadInput(
            f"the Ray cluster at {target} accepts only clients with its token: set RAY_AUTH_MODE=token, and copy the "
            "head's ~/.ray/auth_token to the same place here, or set RAY_AUTH_TOKEN_PATH to its path"
        ) from error


def _answers(target: str) -> bool:
    """Return whether anything listens at HOST:PORT: Ray itself would try for minutes."""
    host, port = target.rsplit(":", 1)
    try:
        socket.create_connection((host, int(port)), timeout=CONNECT_TIMEOUT_SECONDS).close()
    except (OSError, ValueError):
        return False
    return True
