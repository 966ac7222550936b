"""Many histories on several processes, each with servers of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tests.histories.generator import make_history
from tests.histories.player import Outcome, play
from tests.histories.world import World

from gridferry.without_pandas import leave_pandas_out

_ROOT = Path(__file__).parents[2]
WORKERS = max(2, os.cpu_count() or 2)


@dataclass(frozen=True)
class Game:
    """A history to be played: its seed, the mode or "" for the seed's own, with or without faults, a planted bug."""

    seed: int
    mode: str = ""
    faults: bool = True
    bug: str = ""

    @property
    def replay(self) -> str:
        """The command that plays it again."""
        words = [f"python -m tests.histories --seed {self.seed}"]
        words += [f"--mode {self.mode}"] * bool(self.mode) + ["--no-faults"] * (not self.faults)
        words += [f"--bug {self.bug!r}"] * bool(self.bug)
        return " ".join(words)

    def play(self, world: World) -> Outcome:
        """Play it."""
        return play(world, make_history(self.seed, mode=self.mode, faults=self.faults), bug=self.bug)

    def report(self, outcome: Outcome) -> str:
        """What a person needs to know of one that failed."""
        history = make_history(self.seed, mode=self.mode, faults=self.faults)
        played = history.with_steps(history.steps[: outcome.at])
        return f"{played}\n{outcome.why}\nreplay: {self.replay}"


class League:
    """Plays games on `workers` processes. A context; `submit` returns at once."""

    def __init__(self, *, workers: int = WORKERS, real: bool = False) -> None:
        self._real = real
        self._pool = ThreadPoolExecutor(workers)
        self._mine = threading.local()
        self._processes: list[subprocess.Popen[str]] = []

    def __enter__(self) -> League:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(cancel_futures=True)
        for process in self._processes:
            assert process.stdin is not None
            assert process.stdout is not None
            with suppress(BrokenPipeError):  # it has ended by an error of its own
                process.stdin.close()
            process.wait()
            process.stdout.close()

    def submit(self, game: Game) -> Future[Outcome]:
        """Have a game played."""
        return self._pool.submit(self._play, game)

    def play(self, games: Sequence[Game]) -> Iterator[tuple[Game, Outcome]]:
        """Play many, and give them as they end."""
        waiting = {self.submit(game): game for game in games}
        for future in as_completed(waiting):
            yield waiting[future], future.result()

    def _play(self, game: Game) -> Outcome:
        process: subprocess.Popen[str] | None = getattr(self._mine, "process", None)
        if process is None:
            process = self._mine.process = self._start()
            self._processes.append(process)
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(json.dumps(asdict(game)) + "\n")
        process.stdin.flush()
        answer = process.stdout.readline()
        if not answer:
            del self._mine.process
            return Outcome(why=f"the player's process ended ({process.wait()})")
        word: dict[str, Any] = json.loads(answer)
        return Outcome(word["why"], word["at"], Counter(word["counts"]))

    def _start(self) -> subprocess.Popen[str]:
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(_ROOT / "src"), str(_ROOT)])}
        command = [sys.executable, "-m", "tests.histories.league", *(["real"] if self._real else [])]
        return subprocess.Popen(
            command, env=environment, cwd=_ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )


def main() -> None:
    """Play the games that come, one a line of JSON."""
    leave_pandas_out()
    with World(real="real" in sys.argv) as world:
        for line in sys.stdin:
            outcome = Game(**json.loads(line)).play(world)
            print(json.dumps(vars(outcome)), flush=True)


if __name__ == "__main__":
    main()
