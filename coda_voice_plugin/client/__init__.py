"""The door from the other side: a program that talks with a server of coda.voice.v1.

``docs/client.md`` shows how; ``coda-voice connect`` is made of it.
"""

from .connection import Dropped
from .player import Loudspeaker, Place, Player
from .transport import Closed, Dial, Socket
from .voice import VoiceClient, connect

__all__ = [
    "Closed",
    "Dial",
    "Dropped",
    "Loudspeaker",
    "Place",
    "Player",
    "Socket",
    "VoiceClient",
    "connect",
]
