"""Network namespaces, one for each part, and a cable between each two that can be cut alone. Linux, as root."""

import ctypes
import os
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from enum import StrEnum
from itertools import combinations

CLONE_NEWNET = 0x40000000  # <sched.h>
_libc = ctypes.CDLL(None, use_errno=True)


class Cut(StrEnum):
    UNPLUGGED = "unplugged"  # the link goes down, as when a cable is drawn
    SILENT = "silent"  # packets are dropped on their way, and nobody is told: TCP hangs


class Network:
    """A full mesh of `names`. The process's own namespace stays as it is; enter another with `inside`."""

    def __init__(self, names: Sequence[str]) -> None:
        self._prefix = f"domino{os.getpid()}"
        self._pairs = {frozenset(pair): n for n, pair in enumerate(combinations(names, 2))}
        self._names = tuple(names)

    @contextmanager
    def built(self) -> Iterator["Network"]:
        try:
            for name in self._names:
                _do("ip", "netns", "add", self._namespace(name))
                self._in(name, "ip", "link", "set", "lo", "up")
            for pair, n in self._pairs.items():
                one, other = sorted(pair)
                ends = f"d{n}a", f"d{n}b"
                at = ["netns", self._namespace(one)], ["netns", self._namespace(other)]
                _do("ip", "link", "add", ends[0], *at[0], "type", "veth", "peer", "name", ends[1], *at[1])
                for name, end in zip((one, other), ends, strict=True):
                    peer = other if name == one else one
                    self._in(name, "ip", "address", "add", f"{self.address(name, peer)}/24", "dev", end)
                    self._in(name, "ip", "link", "set", end, "up")
            yield self
        finally:
            for name in self._names:
                subprocess.run(["ip", "netns", "delete", self._namespace(name)], check=False, capture_output=True)

    def address(self, name: str, peer: str) -> str:
        """Where `peer` reaches `name`, on the cable between the two."""
        host = 1 if name == min(name, peer) else 2
        return f"10.213.{self._pairs[frozenset((name, peer))]}.{host}"

    @contextmanager
    def inside(self, name: str) -> Iterator[None]:
        """This thread, and whatever it starts, is in the namespace of `name`."""
        before = os.open(f"/proc/self/task/{_thread()}/ns/net", os.O_RDONLY)
        there = os.open(f"/run/netns/{self._namespace(name)}", os.O_RDONLY)
        try:
            _enter(there)
            yield
        finally:
            _enter(before)
            os.close(there)
            os.close(before)

    def cut(self, one: str, other: str, how: Cut) -> None:
        name, end = self._end(one, other)
        if how is Cut.UNPLUGGED:
            self._in(name, "ip", "link", "set", end, "down")
            return
        rules = f"""table inet cut {{
            chain incoming {{ type filter hook input priority 0; iifname "{end}" drop; }}
            chain outgoing {{ type filter hook output priority 0; oifname "{end}" drop; }}
        }}"""
        self._in(name, "nft", rules)

    def heal(self, one: str, other: str, how: Cut) -> None:
        name, end = self._end(one, other)
        if how is Cut.UNPLUGGED:
            self._in(name, "ip", "link", "set", end, "up")
        else:
            self._in(name, "nft", "delete table inet cut")

    def _end(self, one: str, other: str) -> tuple[str, str]:
        """Whose side of the cable is cut, and its interface."""
        return min(one, other), f"d{self._pairs[frozenset((one, other))]}a"

    def _namespace(self, name: str) -> str:
        return f"{self._prefix}-{name}"

    def _in(self, name: str, *command: str) -> None:
        _do("ip", "netns", "exec", self._namespace(name), *command)


def _thread() -> int:
    return _libc.gettid()


def _enter(namespace: int) -> None:
    if _libc.setns(namespace, CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "cannot enter the network namespace")


def _do(*command: str) -> None:
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode:
        raise OSError(f"{' '.join(command[:6])} …: {done.stderr.strip()}")
