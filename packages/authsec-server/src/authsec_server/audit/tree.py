"""The tree over the log: RFC 9162 section 2.1.1, of which only what is needed to go on is kept. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import reduce
from hashlib import sha256


def leaf_hash(content: bytes) -> bytes:
    """The hash of a leaf. Its prefix is another than a node's, so that no node can be passed off as a leaf."""
    return sha256(b"\x00" + content).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """The hash of a node."""
    return sha256(b"\x01" + left + right).digest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Tree:
    """A tree of so many leaves. `peaks` are the roots of its full subtrees, the largest (and first) one first."""

    size: int = 0
    peaks: tuple[bytes, ...] = ()

    def with_leaves(self, hashes: Iterable[bytes]) -> Tree:
        """The tree once these are appended."""
        peaks, size = list(self.peaks), self.size
        for each in hashes:
            top, full = each, size
            while full & 1:  # each full subtree of that height becomes the left half of one twice as large
                top = node_hash(peaks.pop(), top)
                full >>= 1
            peaks.append(top)
            size += 1
        return Tree(size=size, peaks=tuple(peaks))

    @property
    def root(self) -> bytes:
        """The hash of the whole; of no leaves, that of nothing."""
        if not self.peaks:
            return sha256().digest()
        return reduce(lambda right, left: node_hash(left, right), reversed(self.peaks))
