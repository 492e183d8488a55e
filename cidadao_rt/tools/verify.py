"""`verify`: cut own connections, and count what is lost, comes twice, or out of order."""

import argparse
import asyncio
import contextlib
import json
import logging
import random
import secrets
import sys
from collections import Counter
from datetime import datetime
from typing import Any

from ..client import Client, CommandError, RealtimeError, State, Status
from ..words.events import FINAL, INVESTIGATION_UPDATE
from .arguments import TRANSPORTS
from .errors import NO_CONNECTION, ToolError
from .history import history
from .output import GoneError, say
from .tally import Taken, Totals, quantile, tally
from .target import Target, client, opened, target, tell_connection, texts_are_sound

GRACE_SECONDS = 10.0
"""How long, after the last cut, clients may take to catch up; what has not come by then is lost."""

START_PART = 0.6
"""Investigations are started in this part of the time, so that cuts find them under way."""

RETRY_SECONDS = 1.0
"""How long a start that the gateway has no room for waits, before it is tried again."""

ACK_SECONDS = 20.0
"""Acks and pings count among the user's 100 messages a minute, and are kept rare."""

_LIMITS = ("OVERLOADED", "RATE_LIMIT_EXCEEDED")


def run(options: argparse.Namespace) -> int:
    """Returns 0 where nothing is lost, doubled, reordered or unrecovered, else 1. Raises `ToolError`."""
    texts_are_sound([options.url, options.token])
    where = target(options.url, options.token)
    tell_connection(logging.CRITICAL)
    seed = secrets.randbelow(2**32) if options.seed is None else options.seed
    report = asyncio.run(Trial(where, options, seed).run())
    with contextlib.suppress(GoneError):
        for line in [json.dumps(report)] if options.json else _told(report):
            say(line)
    return 0 if report["ok"] else 1


class Trial:
    """One run."""

    def __init__(self, where: Target, options: argparse.Namespace, seed: int) -> None:
        self._where = where
        self._options = options
        self._seed = seed
        self._random = random.Random(seed)  # noqa: S311 - repeatable, not secret
        self._clients: list[Client] = []
        self._taken: list[Taken] = []
        self._started: set[str] = set()
        self._ended: set[str] = set()
        self._refused: Counter[str] = Counter()
        self._away: list[float] = []
        self._changed = asyncio.Event()

    async def run(self) -> dict[str, Any]:
        """The report."""
        clock = asyncio.get_running_loop().time
        began = clock()
        async with contextlib.AsyncExitStack() as stack:
            await self._connect(stack)
            readers = [
                asyncio.create_task(self._read(rt, taken)) for rt, taken in zip(self._clients, self._taken, strict=True)
            ]
            bar = asyncio.create_task(self._show(began))
            tasks = [asyncio.create_task(self._start()), asyncio.create_task(self._cut())]
            try:
                await self._for_its_time(tasks)
                await self._settle()
            finally:
                for task in (*tasks, *readers, bar):
                    task.cancel()
                await asyncio.gather(*tasks, *readers, bar, return_exceptions=True)
        failed = [task.exception() for task in (*tasks, *readers) if not task.cancelled()]
        for error in failed:
            if error is not None and not isinstance(error, RealtimeError | OverflowError):
                raise error
        failures = [str(error) for error in failed if error is not None]
        seconds = clock() - began
        known = await history(self._where, self._started)
        return self._report(tally(self._taken, self._started, known or ()), seconds, failures, known is not None)

    async def _for_its_time(self, tasks: list[asyncio.Task[None]]) -> None:
        """Until the investigations are over, or the time is."""
        starting, _ = tasks
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._options.seconds):
                await asyncio.wait({starting})
                while self._started - self._ended:
                    self._changed.clear()
                    await self._changed.wait()
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)

    # -- connections ----------------------------------------------------------------------------------------------

    async def _connect(self, stack: contextlib.AsyncExitStack) -> None:
        """The witness first, which is not cut; as many of the others as the gateway has room for."""
        wanted = self._options.transport
        ways = TRANSPORTS if wanted == "all" else (wanted,)
        for number in range(self._options.clients + 1):
            way = ways[(number - 1) % len(ways)] if number else ways[0]
            rt = self._client(way)
            try:
                await stack.enter_async_context(opened(rt, self._where.where, 5.0 if number > 1 else 15.0))
            except ToolError as error:
                if number < 2 or error.status != NO_CONNECTION:
                    raise
                self._refused[f"connections ({error})"] = self._options.clients + 1 - number
                return
            taken = Taken(way)
            self._clients.append(rt)
            self._taken.append(taken)
            self._watch(rt)

    def _client(self, transport: str) -> Client:
        return client(
            self._where,
            transports=(transport,),
            ack_seconds=ACK_SECONDS,
            backoff_seconds=0.1,
            backoff_max_seconds=1.0,
        )

    def _watch(self, rt: Client) -> None:
        clock = asyncio.get_running_loop().time
        lost_at: float | None = None

        def notice(status: Status) -> None:
            nonlocal lost_at
            if status.state is State.WAITING and lost_at is None:
                lost_at = clock()
            elif status.state is State.OPEN and lost_at is not None:
                self._away.append(clock() - lost_at)
                lost_at = None

        rt.on_status(notice)

    async def _read(self, rt: Client, taken: Taken) -> None:
        async for event in rt:
            if event.type == "connection_established":
                # The stream has it only where the gateway could not catch up.
                taken.unrecovered += 1
            about = event.data.get("investigation_id")
            if event.id is None or not isinstance(about, str):
                continue
            taken.events.append((event.id, about))
            taken.latencies.append(_age(event.timestamp))
            if event.type == INVESTIGATION_UPDATE and event.data.get("status") in FINAL:
                self._ended.add(about)
            self._changed.set()

    # -- what happens ---------------------------------------------------------------------------------------------

    async def _start(self) -> None:
        """Start investigations, evenly spread, each from another client; a cut may hit the start itself."""
        clock = asyncio.get_running_loop().time
        began, options = clock(), self._options
        for number in range(options.investigations):
            due = began + number * options.seconds * START_PART / options.investigations
            await asyncio.sleep(max(0.0, due - clock()))
            await self._start_one(self._clients[number % len(self._clients)], f"Verificação {number + 1}")

    async def _start_one(self, rt: Client, query: str) -> None:
        while True:
            try:
                self._started.add((await rt.start_investigation(query)).id)
            except CommandError as error:
                self._refused[error.code] += 1
                if error.code not in _LIMITS:
                    return
                retry = error.details.get("retry_after")
                await asyncio.sleep(retry if isinstance(retry, int | float) else RETRY_SECONDS)
            else:
                return

    async def _cut(self) -> None:
        """Cut at random. When and whom depends on the seed alone."""
        if not self._options.cuts_per_second or len(self._clients) < 2:
            return
        clock = asyncio.get_running_loop().time
        at = clock()
        while True:
            at += self._random.expovariate(self._options.cuts_per_second)
            number = self._random.randrange(1, len(self._clients))
            await asyncio.sleep(max(0.0, at - clock()))
            if self._clients[number].cut():
                self._taken[number].cuts += 1

    async def _settle(self) -> None:
        """End what still runs, and wait until everybody has everything, but not for ever."""
        witness = self._clients[0]
        with contextlib.suppress(TimeoutError, RealtimeError):
            async with asyncio.timeout(GRACE_SECONDS):
                for id_ in sorted(self._started - self._ended):
                    try:
                        await witness.cancel_investigation(id_)
                    except CommandError as error:
                        self._refused[error.code] += 1
                while not self._is_settled():
                    self._changed.clear()
                    await self._changed.wait()

    def _is_settled(self) -> bool:
        given = [set(taken.of(self._started)) for taken in self._taken]
        return self._started <= self._ended and all(ids == given[0] for ids in given)

    # -- what is told ---------------------------------------------------------------------------------------------

    async def _show(self, began: float) -> None:
        """A bar on a terminal; cleared at the end."""
        if sys.stderr is None or not sys.stderr.isatty():
            return
        clock = asyncio.get_running_loop().time
        try:
            while True:
                part = min(1.0, (clock() - began) / self._options.seconds)
                bar = "#" * int(part * 24)
                cuts = sum(taken.cuts for taken in self._taken)
                received = sum(len(taken.events) for taken in self._taken)
                _write(f"\r[{bar:-<24}] {part:4.0%}  {cuts} cuts  {received} events received ")
                await asyncio.sleep(0.2)
        finally:
            _write("\r\x1b[K")

    def _report(self, totals: Totals, seconds: float, failures: list[str], compared: bool) -> dict[str, Any]:
        # Where nobody was told of an end, and no limit kept it from being asked for, everybody has lost it.
        is_over = self._started <= self._ended or bool(self._refused)
        return {
            "ok": totals.is_clean and is_over and not failures,
            "seed": self._seed,
            "clients": [taken.transport for taken in self._taken],
            "seconds": round(seconds, 1),
            "cuts": sum(taken.cuts for taken in self._taken),
            "investigations": len(self._started),
            "investigations_ended": len(self._started & self._ended),
            "sent": totals.sent,
            "received": totals.received,
            "lost": totals.lost,
            "duplicated": totals.duplicated,
            "reordered": totals.reordered,
            "recovered_false": totals.unrecovered,
            "latency_seconds": _quantiles(self._taken[0].latencies),
            "away_seconds": _quantiles(self._away),
            "limits": dict(self._refused),
            "history": compared,
            "failures": failures,
            "again": self._again(),
        }

    def _again(self) -> str:
        options = self._options
        return (
            f"--clients {options.clients} --investigations {options.investigations} --seconds {options.seconds:g} "
            f"--cuts-per-second {options.cuts_per_second:g} --transport {options.transport} --seed {self._seed}"
        )


def _quantiles(values: list[float]) -> dict[str, float | None]:
    found = {name: quantile(values, part) for name, part in (("p50", 0.5), ("p99", 0.99))}
    return {name: None if value is None else round(value, 4) for name, value in found.items()}


def _told(report: dict[str, Any]) -> list[str]:
    latency, away = (
        ", ".join(f"{name} {value * 1000:.0f} ms" for name, value in report[key].items() if value is not None) or "none"
        for key in ("latency_seconds", "away_seconds")
    )
    lines = [
        f"{len(report['clients'])} clients ({', '.join(report['clients'])}; the first is not cut), "
        f"{report['investigations']} investigations, {report['cuts']} cuts, {report['seconds']} s",
        f"sent {report['sent']}  received {report['received']}  lost {report['lost']}  "
        f"duplicated {report['duplicated']}  reordered {report['reordered']}  "
        f"recovered false {report['recovered_false']}",
        f"latency {latency}; away after a cut {away}",
    ]
    if not report["history"]:
        lines.append("the gateway's history was not to be had: what reached no client at all is not counted")
    lines += [f"limit: {name}, {count} times" for name, count in report["limits"].items()]
    lines += [f"a client ended: {failure}" for failure in report["failures"]]
    verdict = "nothing lost" if report["ok"] else "FAILED" if report["sent"] else "FAILED: there was nothing to count"
    return [*lines, f"{verdict}; the same again: {report['again']}"]


def _age(timestamp: str | None) -> float:
    """Seconds since the gateway's clock showed this; 0 where it shows a later one than ours."""
    try:
        at = datetime.fromisoformat(timestamp or "")
        return max(0.0, datetime.now(at.tzinfo).timestamp() - at.timestamp())
    except ValueError:
        return 0.0


def _write(text: str) -> None:
    with contextlib.suppress(OSError, ValueError):
        sys.stderr.write(text)
        sys.stderr.flush()
