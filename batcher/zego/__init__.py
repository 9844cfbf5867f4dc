"""The service: how a request is signed and written, what an answer says, what its codes mean."""

from batcher.zego.client import Account, ZegoClient
from batcher.zego.codes import meaning

__all__ = ["Account", "ZegoClient", "meaning"]
