"""Topics: every event belongs to exactly one of four kinds.

A topic is a plain string, because it is hashed once per publish and strings remember their hash.
Source: PROTOCOL 5 "What a connection follows".
"""

from typing import NewType

Topic = NewType("Topic", str)

EVERYONE = Topic("everyone")
_INVESTIGATION = "investigation:"


def investigation(investigation_id: str) -> Topic:
    """The topic of one investigation."""
    return Topic(_INVESTIGATION + investigation_id)


def user(sub: str) -> Topic:
    """What is meant for all connections of one user."""
    return Topic("user:" + sub)


def session(session_id: str) -> Topic:
    """What is meant for one session alone: the answers of its chats."""
    return Topic("session:" + session_id)


def is_topic(text: str) -> bool:
    """Whether `text` is a topic of one of the four kinds, whoever or whatever it names."""
    kind, _, name = text.partition(":")
    return text == EVERYONE or (kind in ("investigation", "user", "session") and bool(name))


def investigation_id(topic: Topic) -> str | None:
    """The id of the investigation that a topic belongs to, or None for the other kinds."""
    return topic[len(_INVESTIGATION) :] if topic.startswith(_INVESTIGATION) else None
