"""`record`: keep what a connection receives, with its timing, as a scenario file."""

import argparse
import asyncio
import logging
import os
import secrets
import signal
from datetime import datetime
from pathlib import Path

from ..client import Client, CommandError, RealtimeError
from ..words.scenario_file import ScenarioError, parse
from .errors import USAGE, ToolError
from .output import note
from .recording import FullError, Recording
from .target import Target, client, opened, target, tell_connection, texts_are_sound

QUERY_LENGTH = 4_000
"""Characters of a query, the gateway's bound."""


def run(options: argparse.Namespace) -> int:
    """Record until the end that was asked for or a signal. Returns the exit status; raises `ToolError`.

    The status is 1 where the final status was to be recorded and did not come; what came is kept even then.
    """
    texts_are_sound([options.url, options.token, options.file, options.investigation, options.query])
    path = _writable(options.file)
    if options.query is not None and not (options.query.strip() and len(options.query) <= QUERY_LENGTH):
        raise ToolError(f"--query must have 1 to {QUERY_LENGTH} characters", USAGE)
    tell_connection(logging.WARNING)
    where = target(options.url, options.token)
    if options.investigation is not None:
        if "/" in options.investigation or not options.investigation:
            raise ToolError("--investigation must be an id", USAGE)
        # Its own path, which refuses an unknown one at once.
        where = Target(where.base, f"/ws/investigations/{options.investigation}", where.token)
    recording, why = asyncio.run(_record(where, options))
    if recording is None:
        raise ToolError(why)
    if not recording.count:
        raise ToolError(f"nothing was written, since nothing came{why}")
    stamp = datetime.now().astimezone().strftime("%Y-%m-%d %H:%M:%S")
    text = recording.text(f"Gravação de {stamp}, de {where.where}").encode()
    try:
        parse(text, path.name)
    except ScenarioError as error:
        raise ToolError(f"nothing was written, since it could not be played: {error}") from None
    _write(path, text)
    ended = "to its end" if recording.is_done else "not to its end; played, it will end as failed"
    note(f"{options.file}: {recording.count} events, of {recording.investigation} {ended}{why}")
    is_short = (options.until_done or options.query is not None) and not recording.is_done
    return 1 if is_short else 0


async def _record(where: Target, options: argparse.Namespace) -> tuple[Recording | None, str]:
    """What was recorded, and why it is over where that was not asked for; None if there was no beginning."""
    rt = client(where)
    recording: Recording | None = Recording(options.investigation, where.token) if options.query is None else None
    why = ""
    async with opened(rt, where.where):
        tell_connection(logging.INFO)
        note(f"recording {where.where} by {rt.transport}")
        task = asyncio.current_task()
        assert task is not None, "this is a coroutine"
        loop = asyncio.get_running_loop()
        signalled = asyncio.Event()

        def stop() -> None:
            signalled.set()
            task.cancel()

        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, stop)
        try:
            async with asyncio.timeout(options.seconds):
                if options.query is not None:
                    started = await rt.start_investigation(options.query)
                    recording = Recording(started.id, where.token)
                assert recording is not None, "it was made above, or now"
                await _follow(rt, recording, until_done=options.until_done or options.query is not None)
                why = "" if recording.is_done else f" ({rt.status.reason or 'closed by the gateway'})"
        except TimeoutError:
            why = "" if recording else "the investigation was not started in time"
        except asyncio.CancelledError:
            if not signalled.is_set():
                raise
            task.uncancel()
            why = "" if recording else "interrupted before the investigation was started"
        except CommandError as error:
            raise ToolError(f"the investigation was not started: {error}") from None
        except FullError as error:
            why = f" (stopped: {error})"
        except (RealtimeError, OverflowError) as error:
            why = f" (ended: {error})"
        finally:
            for number in (signal.SIGINT, signal.SIGTERM):
                loop.remove_signal_handler(number)
    return recording, why


async def _follow(rt: Client, recording: Recording, *, until_done: bool) -> None:
    clock = asyncio.get_running_loop().time
    async for event in rt:
        recording.add(event, clock())
        if until_done and recording.is_done:
            return


def _writable(name: str) -> Path:
    """The file, behind links. Better to know before an hour of recording that it cannot be written."""
    path = Path(os.path.realpath(name))
    if path.suffix != ".toml":
        raise ToolError("FILE must end in .toml, by which agents.scenario tells a file from a name", USAGE)
    if path.is_dir() or not os.access(path.parent, os.W_OK | os.X_OK):
        raise ToolError(f"{name}: cannot be written")
    return path


def _write(path: Path, text: bytes) -> None:
    """All of it or nothing, whatever happens in the middle."""
    part = path.with_name(f".{path.name[:100]}.{secrets.token_hex(4)}")
    try:
        with part.open("xb") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise ToolError(f"{path}: cannot be written: {(error.strerror or 'not possible').lower()}") from None
