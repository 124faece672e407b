"""Join a Ray cluster, or start one here and stop it after; wait for it to grow; refuse what it can never place."""

import io
import logging
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, redirect_stdout, suppress
from dataclasses import dataclass
from ipaddress import ip_address
from threading import Event, Thread

import ray
from ray._private.authentication.authentication_token_setup import (
    ensure_token_if_auth_enabled,
    maybe_enable_token_auth_if_token_available,
)
from ray._private.services import canonicalize_bootstrap_address  # how Ray itself reads an address
from ray._raylet import (  # type: ignore[attr-defined]  # compiled, and not in its stub
    AuthenticationMode,
    GcsClient,
    get_authentication_mode,
)
from ray.autoscaler.sdk import request_resources
from ray.exceptions import AuthenticationError, RpcError

from cluster.need import Need
from lenet.errors import BadInput, ClusterLost
from runners.quiet import native_stderr_hidden

DEFAULT_PORT = 6379  # of `ray start --head`
CONNECT_TIMEOUT_SECONDS = 5
POLL_SECONDS = 0.5
# How much of isolated environments a Ray started here keeps. Beyond its own 10 it would drop whichever has no run just
# then, and make it anew for the next.
ENVIRONMENTS_GIGABYTES = ("RAY_RUNTIME_ENV_PIP_CACHE_SIZE_GB", "100")
HEAD_POLL_SECONDS, HEAD_MISSES = 1.0, 5  # well within the minute after which Ray itself ends the driver
EXIT_CODE = 1  # of scripts whose runs did not all complete


@dataclass(frozen=True)
class Node:
    """What one living node has in all, taken or not."""

    cpus: int
    gpus: int


@contextmanager
def session(address: str) -> Iterator[str]:
    """Connect to Ray for as long as the context lasts; yields one line saying where the runs go.

    `auto` joins RAY_ADDRESS or a `ray start --head` of this machine, and starts a private local Ray where there is
    neither; `local` always starts one; anything else is a cluster's HOST:PORT. Raises BadInput if it cannot be joined.
    """
    on_sigterm = signal.getsignal(signal.SIGTERM)
    # Ray prints what the raylet says of dead workers to stdout and has no switch for it; executors report it as events.
    with redirect_stdout(io.StringIO()):
        where = _connect(address)
        signal.signal(signal.SIGTERM, on_sigterm)  # Ray's own handler dumps a stack on the screen
        left = Event()
        Thread(target=_watch, args=(ray.get_runtime_context().gcs_address, left), daemon=True).start()
        try:
            yield where
        finally:
            left.set()
            ray.shutdown()


def _watch(head: str, left: Event) -> None:
    """Until the cluster is left, see that its head answers; once it does not, end this process with a sentence.

    Ray would end it too, a minute later, outright and in its own words. Its calls wait for the head so long, nothing
    can interrupt them, and so no exception would come through.
    """
    missed = 0
    while missed < HEAD_MISSES:
        if left.wait(HEAD_POLL_SECONDS):
            return
        missed = 0 if _answers(head) else missed + 1
    if left.is_set():
        return
    sys.stderr.write(
        f"error: the Ray cluster at {head} is gone; what is recorded stays, and the same command goes on from there, "
        "with --address local or once the cluster is back\n"
    )
    sys.stderr.flush()
    os._exit(EXIT_CODE)


def nodes() -> list[Node]:
    """The connected cluster's living nodes."""
    resources = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    return [Node(int(r.get("CPU", 0)), int(r.get("GPU", 0))) for r in resources]


def preflight(need: Need) -> None:
    """Raise BadInput, with both numbers, if the nodes could never hold one run: Ray itself would wait for ever."""
    if slots(need):
        return
    where = "on one node" if need.processes == 1 else "each on one node"
    raise BadInput(f"each run needs {need} {where}, but {_inventory()}")


def wait_for_room(need: Need, seconds: float, tell: Callable[[str], None]) -> None:
    """Wait at most `seconds` for nodes that could hold one run, having asked for them where an autoscaler listens.

    Returns either way, for `preflight` to judge; `tell` gets a line if there is anything to wait for.
    """
    if seconds <= 0 or slots(need):
        return
    tell(f"Waiting up to {seconds:g} seconds for room for {need}: {_inventory()}.")
    deadline = time.monotonic() + seconds
    request_resources(bundles=[need.resources()] * need.processes)
    try:
        while not slots(need) and time.monotonic() < deadline:
            time.sleep(POLL_SECONDS)
    finally:
        request_resources(bundles=[])  # from here on the queue of runs says what is needed


def in_vain_since(needs: Collection[Need], since: float | None, patience_seconds: float) -> float | None:
    """Since when no living nodes could hold any of `needs`, if until now that was since `since`, in monotonic seconds.

    Raises ClusterLost, with need and inventory, once patience is at its end: Ray itself would wait for ever.
    """
    if not needs or any(map(slots, needs)):
        return None
    now = time.monotonic()
    if since is not None and now - since >= patience_seconds:
        wanted = " or ".join(dict.fromkeys(map(str, needs)))
        raise ClusterLost(
            f"no node has had room for {wanted} for {patience_seconds:g} seconds: {_inventory()}; what is recorded "
            "stays, and the same command goes on once there is room"
        )
    return now if since is None else since


def slots(need: Need) -> int:
    """How many runs fit on the cluster side by side."""
    return sum(need.fits(node.cpus, node.gpus) for node in nodes()) // need.processes


def _inventory() -> str:
    have = nodes()
    listed = "; ".join(f"{node.cpus} CPU(s), {node.gpus} GPU(s)" for node in have)
    return f"the cluster's {len(have)} node(s) have: {listed}"


def _connect(address: str) -> str:
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
    else:
        os.environ.setdefault(*ENVIRONMENTS_GIGABYTES)
    try:
        ray.init(address=target or "local", include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
    except (ConnectionError, RuntimeError) as error:
        why = " ".join(str(error).split())  # Ray tells of versions that differ in a block of six lines
        raise BadInput(f"the Ray cluster at {target or 'this machine'} could not be joined: {why}") from error
    if target is not None and get_authentication_mode() == AuthenticationMode.DISABLED and _reachable_from_outside():
        _warn(
            f"the Ray cluster at {target} lets in everyone who reaches it, and runs what they send; start it anew, "
            "after `ray get-auth-token --generate`, with RAY_AUTH_MODE=token and one ~/.ray/auth_token on all machines"
        )
    have = nodes()
    totals = f"{len(have)} node(s), {sum(n.cpus for n in have)} CPU(s), {sum(n.gpus for n in have)} GPU(s)"
    return f"Ray {ray.__version__} at {ray.get_runtime_context().gcs_address}: {totals}"


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
    if address != "auto":
        address = address if ":" in address else f"{address}:{DEFAULT_PORT}"
    try:
        return canonicalize_bootstrap_address(None if address == "auto" else address)  # type: ignore[arg-type]
    except (ValueError, OSError) as error:
        raise BadInput(f"--address {address!r} is not auto, local or a cluster's HOST:PORT ({error})") from error


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
