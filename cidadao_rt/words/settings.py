"""Where a configuration comes from: a file, the environment and the command line, merged; later wins.

Each key remembers its source, so that an error or a description can say which of them to look at. An overridden
value is not looked at: what is checked is what would be in force. No value is ever quoted in an error, because any
of them may be a secret in the wrong place.

Source: PROTOCOL 12 "Configuration names".
"""

import json
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from typing import Any, NamedTuple, get_type_hints

import msgspec
from msgspec import inspect

from .config import SECRET_KEYS, Config, faults

PREFIX = "CIDADAO_RT_"
FILE_VARIABLE = "CIDADAO_RT_CONFIG"
TOKEN_VARIABLE = "CIDADAO_RT_TOKEN"  # noqa: S105 - a name
"""Of the tools that connect to a gateway; whoever has set it may start one in the same shell."""

SECRETS_KEY = "auth.jwt_secrets"

# Names from Cidadão.AI's own documentation.
ALIASES = {
    "HOST": "server.host",
    "PORT": "server.port",
    "ALLOWED_ORIGINS": "auth.allowed_origins",
    "LOG_LEVEL": "log.level",
    "LOG_FORMAT": "log.format",
    "METRICS_PATH": "metrics.path",
    "GRACEFUL_TIMEOUT": "server.drain_seconds",
    "REDIS_URL": "broker.url",
    "APP_ENV": "server.mode",
}
SECRET_ALIASES = ("JWT_SECRET_KEY", "SUPABASE_JWT_SECRET")
_MODES = {
    **dict.fromkeys(("development", "testing", "local", "dev"), "development"),
    **dict.fromkeys(("production", "staging"), "production"),
}

# Kubernetes tells every pod about a service named cidadao-rt in variables that begin like ours.
_KUBERNETES = re.compile(r"CIDADAO_RT_(SERVICE_(HOST|PORT(_\w+)?)|PORT(_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?)")

_TOML_SECTION = re.compile(r"\s*\[\s*(\w+)\s*\]")
_TOML_KEY = re.compile(r"\s*(?:(\w+)\s*\.\s*)?(\w+)\s*=")
_INTEGER = re.compile(r"[+-]?[0-9]{1,18}")
_NUMBER = re.compile(r"[+-]?[0-9]{1,18}(\.[0-9]{1,18})?([eE][+-]?[0-9]{1,3})?")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


class ConfigError(Exception):
    """The configuration cannot be used; the message is one line that names the key and its source, and no value."""


class Settings(msgspec.Struct, frozen=True):
    """A checked configuration and, for each key (`section.key`), where its value comes from."""

    config: Config
    sources: Mapping[str, str]


class Setting(msgspec.Struct, frozen=True):
    """One key as `describe` shows it: secrets are masked."""

    key: str
    value: Any
    source: str


class _Given(NamedTuple):
    value: Any
    source: str
    text: bool  # still to be parsed, because it comes from the environment or the command line


class _Key(NamedTuple):
    annotation: Any
    kind: inspect.Type  # the same without its description


def _keys() -> Iterator[tuple[str, _Key]]:
    for section, struct in get_type_hints(Config).items():
        for name, annotation in get_type_hints(struct, include_extras=True).items():
            kind = inspect.type_info(annotation)
            # msgspec wraps a type that has a description, and all of ours have one.
            yield f"{section}.{name}", _Key(annotation, kind.type if isinstance(kind, inspect.Metadata) else kind)


KEYS: Mapping[str, _Key] = dict(_keys())
SECTIONS = tuple(Config.__struct_fields__)


def merge(
    file: bytes | str | None = None,
    environment: Mapping[str, str] | None = None,
    arguments: Sequence[str] = (),
    *,
    file_name: str = "config.toml",
) -> Settings:
    """The configuration of these sources: the text of a TOML file, environment variables, `section.key=value` pairs.

    Raises `ConfigError` for an unknown key, a wrong type, an impossible value, or a file that is not TOML in UTF-8.
    """
    environment = environment or {}
    given = dict(_from_file(file, file_name)) if file is not None else {}
    secrets = [given[SECRETS_KEY]] if SECRETS_KEY in given else []
    given.update(_from_aliases(environment))
    secrets += [
        _Given([environment[name]], f"environment {name}", False) for name in SECRET_ALIASES if environment.get(name)
    ]
    for key, one in [*_from_environment(environment), *_from_arguments(arguments)]:
        given[key] = one
        if key == SECRETS_KEY:
            secrets = [one]

    values = {key: _value(key, one) for key, one in given.items() if key != SECRETS_KEY}
    sources = dict.fromkeys(KEYS, "default") | {key: one.source for key, one in given.items()}
    origin: dict[str, str] = {}  # of each secret, the first source that gave it
    for one in secrets:
        for secret in _value(SECRETS_KEY, one):
            origin.setdefault(secret, one.source)
    if secrets:
        values[SECRETS_KEY] = tuple(origin)
        sources[SECRETS_KEY] = ", ".join(dict.fromkeys(origin.values())) or secrets[-1].source

    config = _build(values)
    for fault in faults(config):
        source = sources[fault.key]
        if fault.key == SECRETS_KEY and fault.item is not None:
            source = list(origin.values())[fault.item]
        raise _error(fault.key, source, fault.text)
    return Settings(config, sources)


def describe(settings: Settings) -> list[Setting]:
    """Each key with its value in force and its source; secrets, and credentials in URLs, are masked."""
    return [Setting(key, _masked(key, _get(settings.config, key)), settings.sources[key]) for key in KEYS]


def _from_file(file: bytes | str, name: str) -> Iterator[tuple[str, _Given]]:
    try:
        text = file.decode("utf-8-sig") if isinstance(file, bytes) else file
        tables = tomllib.loads(text)
    except UnicodeDecodeError:
        raise ConfigError(one_line(f"{name}: is not UTF-8")) from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(one_line(f"{name}: is not TOML: {error}")) from None
    except (RecursionError, ValueError):
        raise ConfigError(one_line(f"{name}: is not TOML to be read: a number too long, or nested too deep")) from None
    lines = _toml_lines(text)

    def source(key: str) -> str:
        return f"{name} line {lines[key]}" if key in lines else name

    for section, table in tables.items():
        if section not in SECTIONS:
            close = get_close_matches(section, SECTIONS, 1)
            nearest = f"[{close[0]}]" if close and isinstance(table, dict) else _nearest(section)
            raise _unknown(section, source(section), nearest)
        if not isinstance(table, dict):
            raise _error(section, source(section), f"must be a section: [{section}]")
        for key, value in table.items():
            name_of_key = f"{section}.{key}"
            if name_of_key not in KEYS:
                raise _unknown(name_of_key, source(name_of_key), _nearest(name_of_key))
            yield name_of_key, _Given(value, source(name_of_key), False)


def _toml_lines(text: str) -> dict[str, int]:
    """The line of each section and key: good enough to point at, since tomllib keeps no positions."""
    lines: dict[str, int] = {}
    section = ""
    for number, line in enumerate(text.split("\n"), start=1):
        if header := _TOML_SECTION.match(line):
            section = header[1]
            lines.setdefault(section, number)
        elif key := _TOML_KEY.match(line):
            lines.setdefault(".".join(part for part in (section, key[1], key[2]) if part), number)
    return lines


def _from_aliases(environment: Mapping[str, str]) -> Iterator[tuple[str, _Given]]:
    for name, key in ALIASES.items():
        if text := environment.get(name):
            if key.startswith("log."):
                text = text.lower()
            elif key == "server.mode":
                text = _MODES.get(text.lower(), "")  # "" is no mode, and refused where it is in force
            yield key, _Given(text, f"environment {name}", True)


def _from_environment(environment: Mapping[str, str]) -> Iterator[tuple[str, _Given]]:
    in_kubernetes = "KUBERNETES_SERVICE_HOST" in environment
    known = {_variable(key): key for key in KEYS}
    for name in sorted(environment):
        if name in known:
            yield known[name], _Given(environment[name], f"environment {name}", True)
        elif name in (FILE_VARIABLE, TOKEN_VARIABLE) or (in_kubernetes and _KUBERNETES.fullmatch(name)):
            continue
        elif name.startswith(PREFIX):
            nearest = _nearest(name.removeprefix(PREFIX).lower().replace("__", ".", 1))
            raise _unknown(name, "environment", nearest and _variable(nearest))


def _from_arguments(arguments: Iterable[str]) -> Iterator[tuple[str, _Given]]:
    for argument in arguments:
        key, equals, text = argument.partition("=")
        if not equals:
            raise ConfigError("a setting on the command line must be section.key=value")
        if key not in KEYS:
            raise _unknown(key, "command line", _nearest(key))
        yield key, _Given(text, "command line", True)


def _value(key: str, given: _Given) -> Any:
    """The value with the key's type; text is parsed as strictly as TOML would be."""
    kind, value = KEYS[key].kind, given.value
    try:
        if given.text:
            value = _parsed(kind, value)
        # No `strict=False`: it would take "8080" in a file for a number.
        value = msgspec.convert(value, KEYS[key].annotation)
    except (msgspec.MsgspecError, RecursionError):
        raise _error(key, given.source, f"must be {_expected(kind)}") from None
    for text in value if isinstance(value, tuple) else (value,):
        if isinstance(text, str):
            _check_text(key, text, given.source)
    return value


def _parsed(kind: inspect.Type, text: str) -> Any:
    match kind:
        case inspect.IntType():
            return int(text) if _INTEGER.fullmatch(text) else text
        case inspect.FloatType():
            return float(text) if _NUMBER.fullmatch(text) else text
        case inspect.VarTupleType() if text.lstrip().startswith("["):
            return msgspec.json.decode(text)
        case inspect.VarTupleType():
            return [part for part in map(str.strip, text.split(",")) if part]
        case _:
            return text


def _check_text(key: str, text: str, source: str) -> None:
    # The environment carries bytes that are not UTF-8 as lone surrogates.
    if any("\ud800" <= character <= "\udfff" for character in text):
        raise _error(key, source, "is not UTF-8")
    # Another system chose the secrets, so they may hold anything; elsewhere a control character is a slip.
    if key != SECRETS_KEY and _CONTROL.search(text):
        raise _error(key, source, "must not hold control characters")


def _expected(kind: inspect.Type) -> str:
    match kind:
        case inspect.LiteralType():
            return "one of " + ", ".join(json.dumps(value) for value in kind.values)
        case inspect.IntType():
            return f"a whole number from {kind.ge} to {kind.le}"
        case inspect.FloatType():
            least = f"above {kind.gt}" if kind.ge is None else f"of at least {kind.ge}"
            return f"a number {least} and at most {kind.le:.0f}"
        case inspect.VarTupleType():
            return "a list of strings (as text: a JSON array, or separated by commas)"
        case _:
            return "a string"


def _build(values: Mapping[str, Any]) -> Config:
    tables: dict[str, dict[str, Any]] = {}
    for key, value in values.items():
        section, name = key.split(".")
        tables.setdefault(section, {})[name] = value
    return msgspec.convert(tables, Config)


def _get(config: Config, key: str) -> Any:
    section, name = key.split(".")
    return getattr(getattr(config, section), name)


def _masked(key: str, value: Any) -> Any:
    if key in SECRET_KEYS:
        return ["***"] * len(value) if isinstance(value, tuple) else "***" * bool(value)
    if key == "broker.url":
        value = re.sub(r"//.*@", "//***@", value)
        return re.sub(r"\?.*", "?***", value)
    return list(value) if isinstance(value, tuple) else value


def _variable(key: str) -> str:
    return PREFIX + key.upper().replace(".", "__")


def _unknown(name: str, source: str, nearest: str) -> ConfigError:
    what = "key" if "." in name or name.startswith(PREFIX) else "section or key"
    return _error(name, source, f"unknown {what}" + (f"; did you mean {nearest}?" if nearest else ""))


def _nearest(key: str) -> str:
    """The known key that was probably meant, "" if none is near: one of its section's first."""
    section, _, name = key.rpartition(".")
    names = {known.partition(".")[2]: known for known in KEYS}
    own = {known.partition(".")[2]: known for known in KEYS if known.startswith(f"{section}.")}
    # Whole keys have to be nearer, since the section alone would make them alike.
    for word, among, nearness in ((name, own, 0.6), (name, names, 0.6), (key, {known: known for known in KEYS}, 0.8)):
        if found := get_close_matches(word, among, 1, nearness):
            return among[found[0]]
    return ""


def _error(key: str, source: str, text: str) -> ConfigError:
    return ConfigError(one_line(f"{key} ({source}): {text}"))


def one_line(text: str) -> str:
    """On one line whatever a file or a key is called, and not longer than a person reads."""
    shown = "".join(character if character.isprintable() else ascii(character)[1:-1] for character in text)
    return shown if len(shown) <= 400 else shown[:400] + "..."
