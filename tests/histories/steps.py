"""What a history is made of: steps as plain data, which print as a person would tell them."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from tests.histories.shapes import Shape


@dataclass(frozen=True)
class Say:
    """A writer of the application executes a statement. `kind` is the word it is counted by."""

    writer: int
    kind: str
    sql: str

    def __str__(self) -> str:
        text = self.sql.replace("\n", "\\n")
        return f"writer {self.writer}: {text}"


@dataclass(frozen=True)
class Fault:
    """What happens to a run. `name` is one of `faults.FAULTS`; the run is caught at the `call`-th call of `point`,
    before or after it; `amount` is the fault's own measure (bytes, milliseconds, statements), `side` source or target.
    """

    name: str
    point: str = ""
    moment: str = "before"
    call: int = 1
    amount: int = 0
    side: str = ""

    def __str__(self) -> str:
        place = f" {self.moment} call {self.call} of {self.point!r}" if self.point else ""
        return (
            f"{self.name}{f' at the {self.side}' if self.side else ''}{place}{f' ({self.amount})' * (self.amount > 0)}"
        )


@dataclass(frozen=True)
class Run:
    """A run of gridferry in a process of its own. `verb`: load, sync, or follow (which goes on beside the next steps).

    `group_bytes` is how much of a stream is applied together, `chunks` how many are stored before the run is told to
    stop (None: no stop). `meanwhile` is played while the run stands still at the fault's point.
    """

    verb: str
    group_bytes: int = 1 << 22
    rows_per_chunk: int = 1000
    sweep: bool = False
    chunks: int | None = None
    fault: Fault | None = None
    meanwhile: tuple[Say, ...] = ()

    @property
    def kind(self) -> str:
        """The word it is counted by."""
        return self.verb

    def __str__(self) -> str:
        words = [f"gridferry {self.verb}"]
        words += [f"groups of {self.group_bytes} bytes"] * (self.group_bytes < 1 << 22)
        words += [f"chunks of {self.rows_per_chunk} rows"] * (self.rows_per_chunk < 1000)
        words += ["sweep"] * self.sweep
        words += [] if self.chunks is None else [f"stopped after {self.chunks} chunks"]
        words += [] if self.fault is None else [f"FAULT {self.fault}"]
        return ", ".join(words) + "".join(f"\n       meanwhile {say}" for say in self.meanwhile)


@dataclass(frozen=True)
class EndFollow:
    """The run that goes on beside ends. `how`: level (asked to stop once both ends are equal), stop, or kill."""

    how: str

    @property
    def kind(self) -> str:
        """The word it is counted by."""
        return f"end follow: {self.how}"

    def __str__(self) -> str:
        return f"the follower ends: {self.how}"


@dataclass(frozen=True)
class Crash:
    """PostgreSQL or GridDB crashes between two runs, and comes back."""

    side: str

    @property
    def kind(self) -> str:
        """The word it is counted by."""
        return f"crash of the {self.side}"

    def __str__(self) -> str:
        return f"CRASH of the {self.side}"


@dataclass(frozen=True)
class CopySource:
    """PostgreSQL's files are copied while it is stopped; then it goes on."""

    kind: str = "source copied"

    def __str__(self) -> str:
        return "the source's files are COPIED"


@dataclass(frozen=True)
class MoveSource:
    """The copy takes the place of the server. `followed`: a run has stored what that got after it was copied."""

    followed: bool
    kind: str = "source moved to a copy"

    def __str__(self) -> str:
        return "the source MOVES to the copy"


@dataclass(frozen=True)
class Settle:
    """A run after the move, once the copy's log and transaction ids have passed those of the server before. It goes
    on, or refuses and the copy is taken over; unless the server was `followed`, it has to go on. Both ends are equal
    then.
    """

    followed: bool
    kind: str = "settled after a move"

    def __str__(self) -> str:
        return "gridferry sync, and sync --new-source if that refuses; both ends are compared"


@dataclass(frozen=True)
class Check:
    """A run without faults, and then both ends have to be equal."""

    sweep: bool = False
    kind: str = "check"

    def __str__(self) -> str:
        return "gridferry sync" + ", sweep" * self.sweep + "; both ends are compared"


Step = Say | Run | EndFollow | Crash | CopySource | MoveSource | Settle | Check


@dataclass(frozen=True)
class History:
    """A course of events, made from a seed. It ends with a check."""

    seed: int
    mode: str
    shapes: tuple[Shape, ...]
    steps: tuple[Step, ...]
    writers: int = 3
    settings: dict[str, Any] = field(default_factory=dict)

    def with_steps(self, steps: tuple[Step, ...]) -> History:
        """The same with other steps."""
        return replace(self, steps=steps)

    def __str__(self) -> str:
        head = [f"history {self.seed}, mode {self.mode}"]
        head += [f"  table {s.name}: {s.options}\n    " + "\n    ".join(s.statements) for s in self.shapes]
        return "\n".join([*head, *(f"  {i:3} {step}" for i, step in enumerate(self.steps, 1))])
