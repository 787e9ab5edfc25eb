"""The frozen words that all rooms speak.

Sound is PCM16, mono, little endian, as ``bytes``. Positions count samples from
the beginning of the stream they belong to: the microphone's for what is heard,
the reply's for what is spoken. Seconds appear only where a person reads them.

Three families:

* what the ear reports to a strategy: :data:`Heard`;
* what a client is told: :data:`ServerEvent`;
* what a client may say: :data:`ClientEvent`.
"""

from __future__ import annotations

from .heard import (
    Heard,
    Misheard,
    Pause,
    Resumed,
    SpeechEnded,
    SpeechStarted,
    Transcript,
    Utterance,
)
from .minds import (
    Message,
    SpeakingStyle,
    Tool,
    ToolCall,
)
from .said import (
    ClientEvent,
    Hello,
    Mute,
    Ping,
    Played,
    Stop,
    Subscribe,
    TalkKey,
    Typed,
    UseMode,
    UseModel,
)
from .sound import (
    MIC_RATE,
    AudioFrame,
    Coding,
    Mode,
    Word,
)
from .told import (
    Caption,
    Flush,
    Held,
    Notice,
    Pong,
    Problem,
    ServerEvent,
    SessionReady,
    Speech,
    SpeechEnd,
    Stage,
    StateChanged,
    Turn,
    TurnEnded,
    UserSpeech,
    UserText,
)

__all__ = [
    "MIC_RATE",
    "AudioFrame",
    "Caption",
    "ClientEvent",
    "Coding",
    "Flush",
    "Heard",
    "Held",
    "Hello",
    "Message",
    "Misheard",
    "Mode",
    "Mute",
    "Notice",
    "Pause",
    "Ping",
    "Played",
    "Pong",
    "Problem",
    "Resumed",
    "ServerEvent",
    "SessionReady",
    "SpeakingStyle",
    "Speech",
    "SpeechEnd",
    "SpeechEnded",
    "SpeechStarted",
    "Stage",
    "StateChanged",
    "Stop",
    "Subscribe",
    "TalkKey",
    "Tool",
    "ToolCall",
    "Transcript",
    "Turn",
    "TurnEnded",
    "Typed",
    "UseMode",
    "UseModel",
    "UserSpeech",
    "UserText",
    "Utterance",
    "Word",
]
