"""Where things are on the private listener."""

from __future__ import annotations

from typing import Final

API: Final = "/_focus/admin/v1"
STATUS: Final = f"{API}/status"
CALLS: Final = f"{API}/calls"
TRACE: Final = f"{API}/trace"
MEDIA: Final = f"{API}/media"
DRAIN: Final = f"{API}/drain"
