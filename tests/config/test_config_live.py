"""What can change without a restart."""

from __future__ import annotations

from coda_voice_plugin import VoiceConfig
from coda_voice_plugin.config import LIVE, AudioSettings, changes, load_config, merge_live
from coda_voice_plugin.config.schema import settings


def test_the_keys_that_change_live_are_settings() -> None:
    assert {setting.key for setting in settings().values()} >= LIVE
    assert {"turn.confirm_ms", "audio.vad_threshold", "prompt.system", "log.level"} <= LIVE
    assert not {"strategy", "stt", "server.port", "store.path", "audio.vad"} & LIVE


def test_changes_are_told_apart() -> None:
    new = load_config(
        environ={},
        overrides=["turn.confirm_ms=430", "log.level=debug", "server.port=1", "stt=mine"],
    ).config
    found = changes(VoiceConfig(), new)
    assert found.live == ("turn.confirm_ms", "log.level")
    assert found.restart == ("stt", "server.port")
    assert changes(new, new) == changes(VoiceConfig(), VoiceConfig())


def test_settings_of_plugins_need_a_restart() -> None:
    new = load_config(environ={}, overrides=["plugins.settings.weather.city=Bonn"]).config
    assert changes(VoiceConfig(), new).restart == ("plugins.settings",)


def test_a_merge_takes_what_is_live_and_keeps_the_rest() -> None:
    old = VoiceConfig(stt="mine", audio=AudioSettings(vad="webrtc"))
    new = load_config(
        environ={},
        overrides=[
            "turn.confirm_ms=430",
            "audio.vad_threshold=0.7",
            "conversation_mode=turn_based",
        ],
    ).config
    merged = merge_live(old, new)
    assert (merged.stt, merged.audio.vad) == ("mine", "webrtc")
    assert (merged.turn.confirm_ms, merged.audio.vad_threshold) == (430, 0.7)
    assert merged.conversation_mode == "turn_based"
    assert changes(old, merged).restart == ()
    assert changes(merged, new).live == ()
    assert merge_live(old, old) == old
