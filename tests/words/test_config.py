"""The keys of the configuration: defaults, descriptions, and what is impossible although it has the right type."""

import re
import tomllib
from pathlib import Path
from typing import Any, get_type_hints

import msgspec
import pytest
from msgspec import inspect

from cidadao_rt.words.config import Config, Fault, faults

CONFIG_TOML = Path(__file__).parents[2] / "config.toml"

DEFAULTS: dict[str, dict[str, Any]] = {
    "server": {
        "host": "127.0.0.1",
        "port": 8080,
        "drain_seconds": 10.0,
        "tls_cert": "",
        "tls_key": "",
        "trusted_proxies": [],
        "mode": "production",
        "console": True,
        "compression": True,
        "ping_seconds": 25.0,
        "slow_reader_seconds": 60.0,
    },
    "auth": {
        "jwt_secrets": [],
        "algorithms": ["HS256"],
        "jwks_url": "",
        "issuer": "",
        "audience": "",
        "leeway_seconds": 0.0,
        "allowed_origins": [],
    },
    "limits": {
        "connections_per_user": 5,
        "messages_per_minute": 100,
        "message_bytes": 65536,
        "frame_bytes": 262144,
        "inactivity_seconds": 300.0,
        "max_connections": 10000,
        "connections_per_address": 1000,
        "handshakes_per_second": 500,
        "buffered_bytes": 67108864,
        "refusals_per_minute": 100,
        "investigations_per_user": 10,
        "chats_per_user": 3,
        "detached_sessions_per_user": 20,
        "session_seconds": 300.0,
        "investigation_idle_seconds": 86400.0,
        "finished_seconds": 86400.0,
        "finished_investigations": 10000,
        "named_investigations": 128,
    },
    "buffer": {
        "events_per_topic": 2000,
        "bytes_per_topic": 4194304,
        "age_seconds": 3600.0,
        "total_bytes": 67108864,
        "replay_events": 10000,
        "path": "",
    },
    "broker": {"url": "memory://"},
    "agents": {"speed": 1.0, "seed": 0, "scenario": "padrao", "scenarios_path": ""},
    "metrics": {"interval_seconds": 5.0, "bearer_token": "", "path": "/metrics"},
    "log": {"level": "info", "format": "auto"},
}

SECRET = "s" * 32


def changed(**keys: Any) -> Config:
    """The defaults with `section__key` values put in."""
    tables: dict[str, dict[str, Any]] = {}
    for name, value in keys.items():
        section, _, key = name.partition("__")
        tables.setdefault(section, {})[key] = value
    return msgspec.convert(tables, Config)


def test_the_defaults_are_those_of_the_protocol() -> None:
    assert msgspec.json.decode(msgspec.json.encode(Config())) == DEFAULTS


def test_the_defaults_have_no_fault() -> None:
    assert list(faults(Config())) == []


def test_a_configuration_cannot_be_changed() -> None:
    with pytest.raises(AttributeError):
        Config().server.port = 1  # type: ignore[misc]


def test_config_toml_holds_every_key_at_its_default_and_nothing_else() -> None:
    assert tomllib.loads(CONFIG_TOML.read_text("utf-8")) == DEFAULTS


def test_config_toml_says_of_every_key_what_its_description_says() -> None:
    said: dict[str, dict[str, str]] = {}
    comment: list[str] = []
    section = ""
    for line in CONFIG_TOML.read_text("utf-8").splitlines():
        if line.startswith("# "):
            comment.append(line[2:])
        else:
            if header := re.fullmatch(r"\[(\w+)\]", line):
                section = header[1]
            elif key := re.match(r"\w+", line):
                said.setdefault(section, {})[key[0]] = " ".join(comment)
            comment = []

    def description(annotation: Any) -> str:
        described = inspect.type_info(annotation)
        assert isinstance(described, inspect.Metadata)
        return str((described.extra_json_schema or {})["description"])

    assert said == {
        section: {key: description(a) for key, a in get_type_hints(struct, include_extras=True).items()}
        for section, struct in get_type_hints(Config).items()
    }


@pytest.mark.parametrize(
    ("keys", "key", "item"),
    [
        ({"server__host": ""}, "server.host", None),
        ({"server__host": "[::1]"}, "server.host", None),
        ({"server__host": "http://localhost"}, "server.host", None),
        ({"server__tls_cert": "a.pem"}, "server.tls_key", None),
        ({"server__tls_key": "a.pem"}, "server.tls_cert", None),
        ({"server__trusted_proxies": ["10.0.0.0/8", "proxy"]}, "server.trusted_proxies", 1),
        ({"server__trusted_proxies": ["10.0.0.0/33"]}, "server.trusted_proxies", 0),
        ({"auth__algorithms": []}, "auth.algorithms", None),
        ({"auth__algorithms": ["HS256", "none"]}, "auth.algorithms", 1),
        ({"auth__algorithms": ["hs256"]}, "auth.algorithms", 0),
        ({"auth__algorithms": ["RS256"]}, "auth.algorithms", 0),
        ({"auth__algorithms": ["HS256", "ES256"]}, "auth.algorithms", 1),
        ({"auth__algorithms": ["EdDSA"]}, "auth.algorithms", 0),
        ({"auth__jwt_secrets": [SECRET, "s" * 31]}, "auth.jwt_secrets", 1),
        ({"auth__jwt_secrets": [SECRET], "auth__algorithms": ["HS256", "HS384"]}, "auth.jwt_secrets", 0),
        ({"auth__jwt_secrets": ["s" * 63], "auth__algorithms": ["HS512"]}, "auth.jwt_secrets", 0),
        ({"auth__jwt_secrets": ["ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAABgQ"]}, "auth.jwt_secrets", 0),
        ({"auth__jwks_url": "https://a.example/jwks"}, "auth.jwks_url", None),
        ({"auth__allowed_origins": ["https://a.example", "https://a.example/"]}, "auth.allowed_origins", 1),
        ({"auth__allowed_origins": ["a.example"]}, "auth.allowed_origins", 0),
        ({"auth__allowed_origins": ["https://A.example"]}, "auth.allowed_origins", 0),
        ({"limits__frame_bytes": 65535}, "limits.frame_bytes", None),
        ({"buffer__path": "/var/lib/events"}, "buffer.path", None),
        ({"broker__url": "redis://localhost"}, "broker.url", None),
        ({"metrics__bearer_token": "with space"}, "metrics.bearer_token", None),
        ({"metrics__bearer_token": "não"}, "metrics.bearer_token", None),
        ({"metrics__path": "metrics"}, "metrics.path", None),
        ({"metrics__path": "/"}, "metrics.path", None),
        ({"metrics__path": "/{name}"}, "metrics.path", None),
        ({"metrics__path": "/healthz"}, "metrics.path", None),
        ({"metrics__path": "/api/v1/connections"}, "metrics.path", None),
        ({"metrics__path": "/api/v1/investigations"}, "metrics.path", None),
        ({"metrics__path": "/api/v1/investigations/inv"}, "metrics.path", None),
        ({"metrics__path": "/console/main.js"}, "metrics.path", None),
        ({"metrics__path": "/api/v1/topics/everyone/history"}, "metrics.path", None),
    ],
)
def test_what_is_impossible_is_named_by_its_key(keys: dict[str, Any], key: str, item: int | None) -> None:
    found = list(faults(changed(**keys)))
    assert [(fault.key, fault.item) for fault in found] == [(key, item)]


def test_a_fault_says_what_would_be_right() -> None:
    assert list(faults(changed(server__tls_key="a.pem"))) == [
        Fault("server.tls_cert", "must be set too: a certificate and its key go together")
    ]


@pytest.mark.parametrize(
    "keys",
    [
        {"server__host": "::1"},
        {"server__host": "localhost"},
        {"server__tls_cert": "cert.pem", "server__tls_key": "key.pem"},
        {"server__trusted_proxies": ["10.0.0.1", "10.0.0.0/8", "10.0.0.1/8", "fd00::/8", "::1"]},
        {"auth__jwt_secrets": [SECRET, "ç" * 16], "auth__algorithms": ["HS256"]},
        {"auth__jwt_secrets": ["s" * 64], "auth__algorithms": ["HS384", "HS512"]},
        {"auth__allowed_origins": ["*", "http://localhost:3000", "https://a.example", "http://[::1]:80", "app://x"]},
        {"limits__frame_bytes": 65536},
        {"metrics__bearer_token": "abc-DEF_123~+/="},
        {"metrics__path": "/internal/metrics"},
    ],
)
def test_what_is_possible_has_no_fault(keys: dict[str, Any]) -> None:
    assert list(faults(changed(**keys))) == []


def test_every_count_is_positive_and_every_duration_finite() -> None:
    may_be_zero = {"drain_seconds", "leeway_seconds", "port", "seed"}
    for section, keys in DEFAULTS.items():
        for key, default in keys.items():
            if isinstance(default, int | float) and not isinstance(default, bool):
                refused = [-1, True, "1"] if key != "seed" else [True, "1", 1.5]
                refused += [float("nan"), float("inf")] + [0] * (key not in may_be_zero)
                for value in refused:
                    with pytest.raises(msgspec.ValidationError):
                        msgspec.convert({section: {key: value}}, Config)
                if key in may_be_zero:
                    msgspec.convert({section: {key: 0}}, Config)
