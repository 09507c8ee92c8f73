"""Programs in a network of their own that has loopback alone, for clusters whose machines are all this one. Needs root on Linux."""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import os
import signal
import socket
import struct
import sys
from importlib.util import find_spec

CLONE_NEWNET = 0x40000000
SIOCGIFFLAGS, SIOCSIFFLAGS = 0x8913, 0x8914
IFF_UP = 1
OUTSIDE = "RBFLEX_EVO_NETWORK_OUTSIDE"


def why_not() -> str | None:
    """Returns why a Ray cluster cannot be tested here, or None if it can."""
    if find_spec("ray") is None:
        return "ray is not installed"
    if sys.platform != "linux" or os.geteuid() != 0:
        return "a network of its own needs root on Linux"
    child = os.fork()
    if not child:
        os._exit(int(ctypes.CDLL(None).unshare(CLONE_NEWNET) != 0))
    return None if os.waitpid(child, 0)[1] == 0 else "this system gives no network of its own"


def within(command: list[str]) -> list[str]:
    """Returns a command that runs another one in a network of its own."""
    return [sys.executable, "-c", f"import sys; from {__name__} import become; become(sys.argv[1:])", *command]


def isolate() -> None:
    """Gives this process a network that has loopback alone.

    Raises:
        OSError: If the system refuses.
    """
    os.environ[OUTSIDE] = _network("self")
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "no network of its own")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        request = struct.pack("16sh14x", b"lo", 0)
        (flags,) = struct.unpack("16xh14x", fcntl.ioctl(any_socket, SIOCGIFFLAGS, request))
        fcntl.ioctl(any_socket, SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", flags | IFF_UP))


def end_neighbours() -> None:
    """Kills the other processes of this network, such as those of a cluster that crashed.

    Raises:
        RuntimeError: If this is not a network of its own.
    """
    mine, parents = _network("self"), {os.getpid(), os.getppid()}
    if os.environ.get(OUTSIDE, mine) == mine:
        raise RuntimeError("these would be the processes of the whole machine")
    for name in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            if int(name) not in parents and _network(name) == mine:
                os.kill(int(name), signal.SIGKILL)


def _network(process: str) -> str:
    return os.readlink(f"/proc/{process}/ns/net")


def become(command: list[str]) -> None:
    """Runs a command in a network of its own, in place of this process."""
    isolate()
    os.execvp(command[0], command)
