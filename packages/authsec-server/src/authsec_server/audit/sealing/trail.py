"""A walk along the leaves of a log, from head to head, and what was found on it; wherever the leaves come from."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from authsec_server.audit.sealing.heads import Head, HeadRefused, Keys, read_head
from authsec_server.audit.sealing.tree import Tree
from authsec_server.web.instants import rfc3339

MOST = 100  # findings that are told one by one


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What was found. `not_yet` events are newer than what the last head covers; `findings` are sentences."""

    sealed: int
    not_yet: int
    last: Head | None
    findings: tuple[str, ...]
    more: int

    @property
    def as_sealed(self) -> bool:
        """Whether all is as it was sealed, and anything was."""
        return not self.findings and self.last is not None


@dataclass(slots=True, kw_only=True)
class Trail:
    """One walk. `kept` are heads that somebody kept elsewhere, the smallest first."""

    keys: Keys
    kept: Sequence[Head]
    tree: Tree = field(default_factory=Tree)
    last: Head | None = None  # the newest head beside the log
    broken: bool = False  # a leaf is missing, or a head did not fit: what comes after fits no head either
    findings: list[str] = field(default_factory=list)
    more: int = 0
    _good: Head | None = None  # the newest head that the leaves led to
    _since: list[int] = field(default_factory=list)  # the first and the last event behind it
    _refused: bool = False  # a head

    def find(self, finding: str) -> None:
        """Say what was found."""
        if len(self.findings) < MOST:
            self.findings.append(finding)
        else:
            self.more += 1

    def lack(self, place: int) -> None:
        """Say that a leaf is missing."""
        if not self.broken:
            self.find(f"The log lacks the seal in place {place}: it was dropped, or moved.")
        self.broken = True

    def read(self, size: int, signed: str) -> Head | None:
        """A head that stands beside the log, for so many leaves; None for one that does not count."""
        try:
            head = read_head(signed, self.keys)
        except HeadRefused as refused:
            if self._refused:  # there are as many as minutes
                self.more += 1
            else:
                self.find(f"The head of {size:,} seals {refused}.")
            self._refused = True
            return None
        if head.size != size:
            self.find(f"The head of {size:,} seals was replaced by one of {head.size:,}.")
            return None
        self.last = head
        return head

    def kept_between(self, low: int, high: int) -> list[Head]:
        """The heads of more than `low` and up to `high` leaves that were kept."""
        return [head for head in self.kept if low < head.size <= high]

    def grow(self, leaves: Iterable[tuple[int, bytes]]) -> None:
        """Go on along these: each event's number, and its hash."""
        leaves = list(leaves)
        if self.broken or not leaves:
            return
        self.tree = self.tree.with_leaves(each for _, each in leaves)
        self._since = [(self._since or [leaves[0][0]])[0], leaves[-1][0]]

    def meet(self, head: Head) -> None:
        """Compare the tree with a head of its size."""
        if self.broken:
            return
        if self.tree.root.hex() == head.root:
            self._good, self._since = head, []
            return
        self.broken = True
        fitting = self._good
        self.find(
            f"The first {head.size:,} seals do not lead to the head signed at {rfc3339(head.at)}"
            + (f", though the first {fitting.size:,} lead to that of {rfc3339(fitting.at)}" if fitting else "")
            + (f": from event {self._since[0]} to event {self._since[-1]}, something" if self._since else ": something")
            + " was changed, dropped, inserted or moved with its seal, or only its seal was."
        )

    def end(self, size: int, beyond: Sequence[Head]) -> None:
        """The log ended after `size` leaves, and `beyond` are heads of more."""
        for head in beyond:
            self.find(
                f"The log was cut: it has {size:,} seals, and the head signed at {rfc3339(head.at)} had {head.size:,}."
            )
        if size and not self.broken and (self.last is None or self.last.size < size):
            self.find(f"The last {size - (self.last.size if self.last else 0):,} seals stand under no signed head.")

    def report(self, size: int, not_yet: int) -> Report:
        """What was found."""
        return Report(sealed=size, not_yet=not_yet, last=self.last, findings=tuple(self.findings), more=self.more)
