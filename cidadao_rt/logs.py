"""Logging: one line a record, as JSON or text, that never holds what a client sent.

Our own modules write constant messages with structured fields (`extra={"connection_id": …}`). Other libraries put
request lines, reprs of tasks and exceptions into their messages, so of their records only what is known to be constant
is written: the template, and where it was logged. Of an exception only its type and frames are written, because its
message and its source lines may quote a token or a payload.

Source: PROTOCOL 1 ("It never appears in a log"), 10 ("its contents never reach a log").
"""

import enum
import logging
import re
import sys
import threading
from collections.abc import Mapping
from datetime import UTC, datetime
from os.path import basename
from traceback import walk_tb
from types import TracebackType
from typing import Any, TextIO

import orjson

OURS = "cidadao_rt"
WITHHELD = "(message withheld)"
MASK = "***"

# Messages of asyncio and aiohttp that carry no arguments, and so may have been formatted with anything before they
# came here. What is not listed is withheld; where it was logged still says which message it was.
_KNOWN_OPENINGS = (
    "Error in logging",
    "Exception in callback",
    "Exception in eof callback",
    "Fatal error on transport",
    "Fatal error: protocol.",
    "Fatal read error on",
    "Fatal write error on",
    "Future exception was never retrieved",
    "Ignored premature client disconnection",
    "Missing return statement on request handler",
    "Request handler timed out.",
    "SSL error in data received",
    "SSL handshake failed",
    "Task exception was never retrieved",
    "Task was destroyed but it is pending!",
    "Unclosed client session",
    "Unclosed connection",
    "Uncompleted request.",
    "Unhandled exception",
    "Unhandled exception in event loop",
    "Web-handler should return a response instance",
    "an error occurred during closing of asynchronous generator",
    "socket.accept() out of system resource",
)

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
_TOKEN = re.compile(r"(?i)(token(?:=|%3d))[^\s&\"'#;,)}\]]+")
_BEARER = re.compile(r"(?i)\b(bearer\s+)[^\s\"',;]+")
_JWT = re.compile(r"eyJ[\w-]+\.[\w-]+(?:\.[\w-]*)?")
# What any of the three needs: most texts have none of it, and one look is cheaper than three.
_SUSPECT = re.compile(r"[Tt][Oo][Kk][Ee][Nn]|[Bb][Ee][Aa][Rr][Ee][Rr]|eyJ")
_SECRET_NAME = re.compile(r"(?i)(?:^|_)(?:token|secrets?|password|authorization|cookie)$")
# What a terminal or a line splitter acts upon: C0, DEL, C1, line and paragraph separators, directions of text.
_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_BARE_VALUE = re.compile(r"[\w.:/+*%@-]+")
_FRAMES = 30
_DEPTH = 6


def configure(level: str = "info", format: str = "auto", stream: TextIO | None = None) -> None:
    """Send every logger's records to `stream` (stderr by default), as "json", "text" or ("auto") what suits it.

    Handlers that libraries have set on their own loggers are taken off, so that nothing goes past the formatter.
    """
    stream = stream if stream is not None else sys.stderr
    as_text = format == "text" or (format == "auto" and stream is not None and stream.isatty())
    handler = _Handler(stream)
    handler.setFormatter(Text() if as_text else Json())
    for logger in list(logging.root.manager.loggerDict.values()):
        if isinstance(logger, logging.Logger):
            logger.handlers.clear()
            logger.propagate = True
    # Requests are counted in the metrics; an access line would be nothing but what may not be written.
    logging.getLogger("aiohttp.access").setLevel(logging.WARNING)
    logging.root.handlers[:] = [handler]
    logging.root.setLevel(level.upper())


def catch_uncaught() -> None:
    """Log what would otherwise be printed with its message: exceptions that nobody caught, in any thread."""
    logger = logging.getLogger(OURS)

    def uncaught(kind: type[BaseException], error: BaseException | None, frames: TracebackType | None) -> None:
        if kind is not SystemExit:  # how a thread may end
            logger.critical("uncaught exception", exc_info=(kind, error or BaseException(), frames))

    sys.excepthook = uncaught
    sys.unraisablehook = lambda args: uncaught(args.exc_type, args.exc_value, args.exc_traceback)
    threading.excepthook = lambda args: uncaught(args.exc_type, args.exc_value, args.exc_traceback)


class _Handler(logging.StreamHandler[TextIO]):
    def handleError(self, record: logging.LogRecord) -> None:
        """Keep quiet: the standard one prints the record's arguments, and a log that is gone stops no server."""


class Json(logging.Formatter):
    """One JSON object a line: ts, level, logger, event, the structured fields, and error and trace."""

    def format(self, record: logging.LogRecord) -> str:
        line = orjson.dumps(fields(record)).decode()
        # Outside of strings JSON that orjson writes is ASCII, so an escape is always inside of one.
        return _escaped(line)


class Text(logging.Formatter):
    """One readable line: time, level, logger, event, then `name=value` for the rest."""

    def format(self, record: logging.LogRecord) -> str:
        shown = fields(record)
        ts, level, logger, event = (shown.pop(name) for name in ("ts", "level", "logger", "event"))
        rest = "".join(f" {name}={_bare(value)}" for name, value in shown.items())
        return _escaped(f"{ts} {level:<8} {logger}: {event}{rest}")


def fields(record: logging.LogRecord) -> dict[str, Any]:
    """What of a record is written, as plain values: nothing else ever is."""
    ours = record.name == OURS or record.name.startswith(OURS + ".")
    when = datetime.fromtimestamp(record.created, UTC)
    shown: dict[str, Any] = {
        "ts": when.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "level": record.levelname.lower(),
        "logger": _redacted(record.name),
        "event": _redacted(_message(record) if ours else _constant(record)),
    }
    if not ours:
        shown["at"] = _redacted(f"{basename(record.pathname)}:{record.lineno} {record.funcName}")
    if record.exc_info and record.exc_info[0] is not None:
        shown["error"] = _redacted(record.exc_info[0].__name__)
        shown["trace"] = _trace(record.exc_info[2])
    if ours:
        for name, value in vars(record).items():
            if name not in _STANDARD:
                shown[_redacted(f"{name}_" if name in shown else name)] = _named(name, value)
    return shown


def _message(record: logging.LogRecord) -> str:
    if not isinstance(record.msg, str):
        return WITHHELD
    try:
        return record.getMessage()
    except Exception:
        # A message with the wrong arguments is still a message.
        return record.msg


def _constant(record: logging.LogRecord) -> str:
    """Of another library's message what cannot hold a value: the template, or the opening that we know."""
    if not isinstance(record.msg, str):
        return WITHHELD
    if record.args:
        return record.msg.partition("\n")[0]
    known = [opening for opening in _KNOWN_OPENINGS if record.msg.startswith(opening)]
    return max(known, key=len, default=WITHHELD)


def _trace(frames: TracebackType | None) -> list[str]:
    codes = ((frame.f_code, line) for frame, line in walk_tb(frames))
    trace = [_redacted(f"{code.co_filename}:{line} {code.co_qualname}") for code, line in codes]
    return trace if len(trace) <= _FRAMES else [*trace[:5], "...", *trace[5 - _FRAMES :]]


def _plain(value: Any, depth: int = 0) -> Any:  # noqa: PLR0911 - one case a type
    """The value as JSON knows it, redacted; of objects only the type is written, as their repr may hold anything."""
    if isinstance(value, enum.Enum):
        value = value.value
    match value:
        case None | bool():
            return value
        case str():
            return _redacted(value)
        case float():
            return float(value)
        case int() if abs(value) < 2**63:  # longer ones are no JSON to orjson
            return value
        case Mapping() if depth < _DEPTH:
            named = {str(_plain(key)): one for key, one in value.items()}
            return {name: _named(name, one, depth + 1) for name, one in named.items()}
        case list() | tuple() | set() | frozenset() if depth < _DEPTH:
            return [_plain(one, depth + 1) for one in value]
        case _:
            return f"<{type(value).__name__}>"


def _named(name: str, value: Any, depth: int = 0) -> Any:
    return MASK if _SECRET_NAME.search(name) else _plain(value, depth)


def _redacted(text: str) -> str:
    if text.isascii() and not _SUSPECT.search(text):
        return text
    text = _JWT.sub(MASK, _BEARER.sub(rf"\1{MASK}", _TOKEN.sub(rf"\1{MASK}", text)))
    # Lone surrogates, which no encoding takes; the escape shows them as \udc80.
    return text.encode("utf-8", "backslashreplace").decode()


def _escaped(line: str) -> str:
    return _UNPRINTABLE.sub(lambda match: f"\\u{ord(match[0]):04x}", line)


def _bare(value: Any) -> str:
    if isinstance(value, str) and _BARE_VALUE.fullmatch(value):
        return value
    return orjson.dumps(value).decode()
