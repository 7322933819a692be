"""What the focus asks of its shell, done: messages sent, legs kept, counts and notes taken down."""

from __future__ import annotations

from typing import TYPE_CHECKING, assert_never

import structlog

from signalling.focus.turn import Count, FocusOutput, ForgetLeg, KeepLeg, Level, Note, SendToDevice

if TYPE_CHECKING:
    from sfu.metrics import Metrics
    from signalling.matrix.outbox import Outbox
    from signalling.store import Store

_log = structlog.get_logger()


class MatrixPerformer:
    """Performs the outputs that are no business of the runtime.

    A leg is forgotten when the homeserver has confirmed what was sent before, its hangup most of all: should
    this process end before that, the next one hangs up again.

    Args:
        outbox: sends messages.
        store: keeps legs.
        metrics: where counts go.
    """

    def __init__(self, outbox: Outbox, store: Store, metrics: Metrics) -> None:
        self._outbox = outbox
        self._store = store
        self._metrics = metrics
        self._kept: dict[str, object] = {}
        """For each key the record that stands in the store: a redial keeps a new one under the same key."""

    def perform(self, output: FocusOutput) -> None:
        """Do one thing; none waits."""
        match output:
            case SendToDevice(user_id, device_id, message, is_encrypted):
                self._outbox.send(
                    user_id, device_id, message.type, message.content(), is_encrypted=is_encrypted
                )
            case KeepLeg(key, record):
                self._kept[key] = output
                self._store.set_leg(key, record)
            case ForgetLeg(key):
                self._forget(key)
            case Count(name, labels):
                self._metrics.count(name, labels)
            case Note(level, event, facts):
                log = _log.warning if level is Level.WARNING else _log.info
                log(event, **facts)
            case _:
                assert_never(output)

    def _forget(self, key: str) -> None:
        kept = self._kept.get(key)

        def act() -> None:
            if self._kept.get(key) is kept:
                self._kept.pop(key, None)
                self._store.forget_leg(key)

        self._outbox.when_confirmed(act)
