"""One root, and children that answer one question: who must act?"""

from __future__ import annotations


class SfuError(Exception):
    """Anything that this server raises on purpose."""


class RemoteError(SfuError):
    """The other side broke a rule: count by reason, drop or close, carry on.

    Args:
        reason: from a small closed list of its module, fit for a metric label.
        text: for the log, with the offending values.
    """

    def __init__(self, reason: str, text: str = "") -> None:
        super().__init__(f"{reason}: {text}" if text else reason)
        self.reason = reason
        self.text = text


class ParseError(RemoteError):
    """Bytes or text that are not what they should be."""


class LocalError(SfuError):
    """We broke a rule of our own: end that call, tell the operator, never hide it."""


class CapacityError(SfuError):
    """A configured limit: refuse politely over signalling."""


class TransportError(SfuError):
    """ICE, DTLS or a socket failed: restart or drop the member."""


class ConfigError(SfuError):
    """The operator must change something: the key, the value, what would be legal."""
