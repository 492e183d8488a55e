"""`tail`: follow events in the terminal."""

import argparse
import asyncio
import contextlib
import logging

from ..client import Client, Event, RealtimeError
from ..words.events import is_subscribable
from .arguments import TRANSPORTS
from .errors import USAGE, ToolError
from .lines import as_json, as_lines
from .output import GoneError, is_coloured, note, say
from .target import client, opened, target, tell_connection, texts_are_sound

INVESTIGATIONS = 128
"""The gateway follows no more by name on one connection."""


def run(options: argparse.Namespace) -> int:
    """Follow until the end that was asked for, Ctrl-C, or the reader's. Returns the exit status; raises `ToolError`."""
    texts_are_sound([options.url, options.token, options.events, options.since, options.grep])
    texts_are_sound(options.investigation or [])
    events = None if options.events is None else [name.strip() for name in options.events.split(",")]
    for name in events or ():
        if not is_subscribable(name):
            raise ToolError(f"--events: {name!r} is no type of an event", USAGE)
    if len(options.investigation or ()) > INVESTIGATIONS:
        raise ToolError(f"--investigation: at most {INVESTIGATIONS}", USAGE)
    tell_connection(logging.WARNING)
    where = target(options.url, options.token)
    rt = client(
        where,
        connection_type=options.connection_type,
        events=events,
        investigation_ids=options.investigation,
        last_event_id=options.since,
        transports=TRANSPORTS if options.transport == "auto" else (options.transport,),
    )

    async def follow() -> None:
        async with opened(rt, where.where):
            tell_connection(logging.INFO)
            note(f"connected to {where.where} by {rt.transport}")
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(options.seconds):
                    await _follow(rt, options)

    with contextlib.suppress(GoneError):
        asyncio.run(follow())
    return 0


async def _follow(rt: Client, options: argparse.Namespace) -> None:
    coloured = is_coloured(options.no_color)
    wanted = None if options.grep is None else options.grep.casefold()
    left = options.count
    try:
        async for event in rt:
            # Where something may be missing is said whatever was asked for.
            if wanted is not None and event.type != "connection_established" and not _has(event, wanted, options.json):
                continue
            for line in [as_json(event)] if options.json else as_lines(event, coloured=coloured):
                say(line)
            if left is not None and (left := left - 1) == 0:
                return
    except (RealtimeError, OverflowError) as error:
        raise ToolError(f"ended: {error}") from None
    raise ToolError(f"ended: {rt.status.reason or 'closed by the gateway'}")


def _has(event: Event, wanted: str, json: bool) -> bool:
    lines = [as_json(event)] if json else as_lines(event, coloured=False)
    return wanted in "\n".join(lines).casefold()
