"""The page's Matrix port against a real Synapse, in a browser. Costs about 3 s."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

import pytest

from tests.e2e.browsers import chromium
from tests.support.homeserver import new_user, send_to_device

if TYPE_CHECKING:
    from loadtest.homeserver.server import Homeserver

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]

LISTEN = """
  const { MatrixHttp } = await import("/matrix-http.js");
  const matrix = new MatrixHttp(SESSION);
  const heard = [];
  const isLast = new Promise((done) => {
    matrix.addEventListener("to-device", ({ detail }) => {
      heard.push(detail.content.n);
      if (detail.content.n === LAST) done();
    });
  });
  await matrix.start();
  await READY();
  await isLast;
  await matrix.stop();
  return heard;
"""


async def test_who_starts_anew_is_not_told_again_what_was_told_before(homeserver: Homeserver) -> None:
    """As a page that is loaded again within the two minutes for which Synapse keeps its first answer."""
    alice, bob = await asyncio.to_thread(lambda: (new_user(homeserver), new_user(homeserver)))
    session = {
        "baseUrl": alice.base_url,
        "userId": alice.user_id,
        "deviceId": alice.device_id,
        "accessToken": alice.access_token,
    }
    async with chromium() as browser, browser.blank() as page:

        async def say(n: int) -> None:
            await asyncio.to_thread(send_to_device, bob, alice, "m.call.test", {"n": n})

        heard = []
        for n in range(4):
            await page.expose_function(f"ready{n}", lambda n=n: say(n))
            script = LISTEN.replace("SESSION", json.dumps(session)).replace("LAST", str(n))
            heard.append(await page.evaluate(f"async () => {{ {script.replace('READY', f'ready{n}')} }}"))
    # The last word of each time may come once more: nobody has said yet that it arrived.
    assert all(len(told) <= 2 for told in heard), heard
    assert [told[-1] for told in heard] == [0, 1, 2, 3]
