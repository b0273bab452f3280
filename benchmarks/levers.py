"""What each lever of the ground floor is worth by itself: ``make levers``.

Memory (PSS, MiB): ``gc.freeze()`` before the fork, after 100 requests and again after one full collection in each
worker, which a long life brings and a short run does not; the libraries that are imported late, the largest one by one
and then all. Speed: keys prepared for PyJWT, the turn that a worker gives its loop after a request, psycopg's wait in
gevent's hub. Everything is measured with and without, in alternation, and each figure is the median of its rounds.
Memory repeats to a few tenths; times on a machine that others use do not. Four to five minutes; ``--record``
adds rows to benchmarks/RESULTS.md.
"""

from __future__ import annotations

import argparse
import os
import signal
import statistics
import time
from collections import defaultdict
from collections.abc import Iterator
from itertools import chain
from multiprocessing.pool import ThreadPool

from benchmarks.common import family, pss, record, testbed
from benchmarks.footprint import REQUESTS, request
from benchmarks.levers_late import KINDS, largest, libraries
from benchmarks.levers_speed import CONFIG, Row, speed
from core.ops.processes import COMMANDS, Process

ROUNDS = 2
LARGEST = 2  # libraries that are measured one by one
AFTER = " after a full collection"


def start(kind: str, **environ: str) -> Process:
    return Process(kind, {"GUNICORN_CMD_ARGS": CONFIG, "WEB_CONCURRENCY": "1", **environ})


def use(web: Process) -> None:
    web.wait_ready()
    request(f"{web.url}/readyz", REQUESTS)
    request(f"{web.url}/openapi.json", 2)


def end(process: Process) -> None:
    """At once: an orderly leave takes seconds, and there is nothing here to finish."""
    process.kill()
    process.close()


def freeze() -> dict[str, float]:
    """Web with two workers: MiB by lever (``on``, ``off``) and moment."""
    taken = defaultdict(list)
    for _ in range(ROUNDS):
        for lever, off in (("on", ""), ("off", "freeze")):
            web = start("web", WEB_CONCURRENCY="2", LEVERS_OFF=off)
            try:
                use(web)
                taken[lever].append(pss(web.pid))
                for worker in family(web.pid)[1:]:
                    os.kill(worker, signal.SIGUSR2)
                time.sleep(1.5)  # a worker hears a signal when its loop next turns
                taken[lever + AFTER].append(pss(web.pid))
            finally:
                end(web)
    return {name: statistics.median(figures) for name, figures in taken.items()}


def weigh(words: list[str]) -> list[float]:
    """PSS of web with one worker, of worker and of scheduler, side by side, when each imports ``words`` at boot."""
    processes: list[Process] = []
    try:
        processes += (start(kind, LEVERS_EAGER=" ".join(words)) for kind in KINDS)
        use(processes[0])
        for process in processes[1:]:
            process.wait_ready()
        time.sleep(2)
        return [pss(process.pid) for process in processes]
    finally:
        with ThreadPool(len(KINDS)) as hands:
            hands.map(end, processes)


def late() -> dict[str, list[float]]:
    """MiB that each library would add to web, worker and scheduler, the largest first, and all of them together."""
    named = libraries()
    arms = {"": [], **{", ".join([name, *more]): named[name] for name, more in largest(LARGEST).items()}}
    arms["all of them"] = list(chain.from_iterable(named.values()))
    taken: dict[str, list[list[float]]] = {name: [] for name in arms}
    for _ in range(ROUNDS):
        for name, words in arms.items():
            taken[name].append(weigh(words))
    figures = {name: [statistics.median(kind) for kind in zip(*rounds, strict=True)] for name, rounds in taken.items()}
    base = figures.pop("")
    return {name: [one - zero for one, zero in zip(with_it, base, strict=True)] for name, with_it in figures.items()}


def memory() -> Iterator[Row]:
    COMMANDS.update({kind: ("-m", "benchmarks.levers_eager", kind) for kind in KINDS[1:]})
    with testbed():
        found = freeze()
        told = [f"{found[f'on{when}']:.1f} MiB{when}, without {found[f'off{when}']:.1f}" for when in ("", AFTER)]
        saved = [f"{found[f'off{when}'] - found[f'on{when}']:.1f} MiB{when}" for when in ("", AFTER)]
        yield "gc.freeze before the fork, 2 workers", "; ".join(told), f"saves {'; '.join(saved)}"
        for library, added in late().items():
            each = ", ".join(f"{kind} {more:+.1f}" for kind, more in zip(KINDS, added, strict=True))
            yield f"late import, {library}", f"imported at boot: {each} MiB", f"saves {sum(added):.1f} MiB"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--record", action="store_true", help="add rows to benchmarks/RESULTS.md")
    given = parser.parse_args()
    for what, figures, ratio in chain(memory(), speed()):
        print(f"{what:<42} {figures}\n{'':<42} {ratio}", flush=True)
        if given.record:
            record(f"levers, {what}", figures, ratio)


if __name__ == "__main__":
    main()
