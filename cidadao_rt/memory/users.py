"""What is remembered of each user across connections: the message window, recent starts, and sessions.

Source: PROTOCOL 7 (sessions are kept 5 minutes after a disconnect), 9 "Limits".
"""

from collections import OrderedDict

from ..words.limits import SlidingWindow
from .session import Session
from .starts import Starts

MINUTE = 60.0


class User:
    """One user's share. `sessions` holds the attached and the detached, the latter in the order of their detaching."""

    __slots__ = ("chats", "sessions", "starts", "window")

    def __init__(self, messages_per_minute: int) -> None:
        self.window = SlidingWindow(messages_per_minute, MINUTE)
        self.starts = Starts()
        self.sessions: dict[str, Session] = {}
        self.chats = 0

    @property
    def detached(self) -> list[Session]:
        """The sessions without a connection, the longest detached first."""
        return [session for session in self.sessions.values() if session.detached_at is not None]

    def is_idle(self, now: float) -> bool:
        """Whether forgetting this user would change no answer."""
        return not self.sessions and not self.chats and self.window.is_empty(now) and self.starts.is_empty(now)


class Users:
    """All users with something to remember. Every `now` is in seconds of one clock that does not go back."""

    def __init__(self, messages_per_minute: int, detached_sessions: int, session_seconds: float) -> None:
        self._messages_per_minute = messages_per_minute
        self._detached_sessions = detached_sessions
        self._session_seconds = session_seconds
        self._users: dict[str, User] = {}
        # What can be over one day, so that those who are here cost `expire` nothing: sessions in the order of their
        # detaching, and users without a session.
        self._detached: OrderedDict[str, Session] = OrderedDict()
        self._absent: dict[str, User] = {}

    def __len__(self) -> int:
        return len(self._users)

    def get(self, sub: str) -> User:
        """The user, remembered from now on."""
        user = self._users.get(sub)
        if user is None:
            user = self._users[sub] = self._absent[sub] = User(self._messages_per_minute)
        return user

    def session(self, sub: str, session_id: str, now: float) -> Session | None:
        """This user's session, if it is still kept. Another user's is as unknown as one that never was."""
        user = self._users.get(sub)
        session = user.sessions.get(session_id) if user is not None else None
        if session is None or self._is_over(session, now):
            return None
        return session

    def attach(self, session: Session) -> None:
        """A connection carries the session now."""
        user = self.get(session.sub)
        user.sessions[session.id] = session
        self._absent.pop(session.sub, None)
        self._detached.pop(session.id, None)
        session.detached_at = None

    def detach(self, session: Session, now: float) -> Session | None:
        """No connection carries it any more. Returns the oldest detached session if that had to go for it.

        A session that was dropped stays so.
        """
        user = self.get(session.sub)
        if session.id not in user.sessions:
            return None
        session.detached_at = now
        # Put last, of its user's and of all.
        user.sessions[session.id] = user.sessions.pop(session.id)
        self._detached[session.id] = session
        self._detached.move_to_end(session.id)
        detached = user.detached
        if len(detached) <= self._detached_sessions:
            return None
        self._forget(detached[0])
        return detached[0]

    def drop(self, sub: str) -> int:
        """Forget all of a user's sessions, also those that a connection carries; returns how many there were."""
        user = self._users.get(sub)
        if user is None:
            return 0
        gone = list(user.sessions.values())
        for session in gone:
            self._forget(session)
        return len(gone)

    def expire(self, now: float) -> int:
        """Forget sessions whose time is over and users with nothing left; returns how many sessions went."""
        gone = 0
        while self._detached and self._is_over(oldest := next(iter(self._detached.values())), now):
            self._forget(oldest)
            gone += 1
        for sub in [sub for sub, user in self._absent.items() if user.is_idle(now)]:
            del self._users[sub], self._absent[sub]
        return gone

    def _is_over(self, session: Session, now: float) -> bool:
        return session.detached_at is not None and now - session.detached_at >= self._session_seconds

    def _forget(self, session: Session) -> None:
        user = self._users[session.sub]
        del user.sessions[session.id]
        self._detached.pop(session.id, None)
        if not user.sessions:
            self._absent[session.sub] = user
