"""The requests for a manifest at an http or https URL: each goes through the proxy of its address.

Used by :mod:`batcher.manifest.sources.remote`. aiohttp itself does not know ``ALL_PROXY``, and follows
redirects within one call; so the proxy is chosen here, again for each address, by the rules of
:mod:`batcher.model.proxy`.
"""

from __future__ import annotations

from typing import Any

import aiohttp
from yarl import URL

from batcher.model.proxy import proxy_for


class ProxiedRequest(aiohttp.ClientRequest):
    """One request; the proxy that aiohttp has found for it does not count.

    Raises:
        SettingsError: the proxy that is named for its address cannot be used.
    """

    def __init__(self, method: str, url: URL, **options: Any) -> None:  # noqa: ANN401 - the library's own
        proxy = proxy_for(url)
        options |= {"proxy": URL(proxy.url) if proxy else None, "proxy_auth": None}
        super().__init__(method, url, **options)
