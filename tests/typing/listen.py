"""A program that listens for callbacks until it is cancelled; mypy checks it, the library tests run it."""

import asyncio
from pathlib import Path

from batcher import Account, CallbackListener, Defaults, Event, ListeningStarted, ListenSettings


async def listening(
    ledger: Path, secret: str, account: Account, endpoint: str, url: asyncio.Future[str]
) -> None:
    """Listen on a free port; the future gets the URL."""

    def on_event(event: Event) -> None:
        if isinstance(event, ListeningStarted):
            url.set_result(event.url)

    listener = CallbackListener(
        ledger,
        secret,
        account,
        settings=ListenSettings(port=0),
        submit_new=Defaults(definition=10, offsets=(1,)),
        endpoint=endpoint,
        on_event=on_event,
    )
    await listener.run()
