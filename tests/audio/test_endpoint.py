"""The endpoint machine, driven by probabilities; positions are counted by hand."""

from itertools import pairwise

import numpy as np
import pytest

from coda_voice_plugin.audio.endpoint import Endpoint
from coda_voice_plugin.audio.level import last_loud
from coda_voice_plugin.audio.recent import Recent
from coda_voice_plugin.audio.sounds import Began, Continued, Ended, Lasted, Paused, Voice
from coda_voice_plugin.config.model import AudioSettings, TurnSettings

WINDOW = 512
TURN = TurnSettings(
    speculative_ms=160, confirm_ms=420, unsure_ms=700, pre_roll_ms=400, min_speech_ms=100
)


def windows(ms):
    """How many windows ``ms`` take, rounded up."""
    return -(-ms * 16 // WINDOW)


class Microphone:
    """Feeds an endpoint windows of which the judge says what the test says.

    Speech is a steady level and silence is zero, so that the level agrees with the judge.
    """

    def __init__(self, turn=TURN, audio=None):
        self.endpoint = Endpoint(turn, audio or AudioSettings())
        self.sounds = []
        self.sound = []

    def window(self, probability, level=None):
        level = (0.1 if probability >= 0.35 else 0.0) if level is None else level
        start = self.endpoint.now
        samples = np.full(WINDOW, level, np.float32)
        self.sound.append(samples)
        self.endpoint.hear(samples)
        new = [*self.endpoint.judge(start, probability), *self.endpoint.tick()]
        self.sounds += new
        return new

    def play(self, *parts):
        """``(probability, windows)`` parts."""
        for probability, count in parts:
            for _ in range(count):
                self.window(probability)
        return self.events()

    def events(self):
        return [sound for sound in self.sounds if not isinstance(sound, Voice)]

    def kinds(self):
        return [type(sound).__name__ for sound in self.events()]


def test_silence_is_not_an_utterance() -> None:
    assert Microphone().play((0.0, 100)) == []


def test_a_sound_shorter_than_min_speech_is_not_speech() -> None:
    assert Microphone().play((0.0, 5), (0.9, 3), (0.0, 40)) == []


def test_speech_begins_where_its_first_window_is() -> None:
    began = Microphone().play((0.0, 20), (0.9, 4))[0]
    assert isinstance(began, Began)
    assert began.at == 20 * WINDOW


def test_a_dip_does_not_restart_a_beginning() -> None:
    began = Microphone().play((0.0, 20), (0.9, 2), (0.1, 1), (0.9, 2))[0]
    assert began.at == 20 * WINDOW


def test_speech_goes_on_a_little_below_the_threshold() -> None:
    mic = Microphone(turn=TurnSettings(barge_in_ms=160, min_speech_ms=100))
    assert mic.play((0.9, 4), (0.4, 100))[-1] == Lasted(160)


def test_the_same_probability_does_not_begin_speech() -> None:
    assert Microphone().play((0.4, 100)) == []


def test_the_pre_roll_reaches_back_and_the_voice_follows_without_a_gap() -> None:
    mic = Microphone()
    for index in range(20):
        mic.window(0.0, level=index / 1_000)
    for index in range(20, 50):
        mic.window(0.9 if index < 40 else 0.0, level=index / 1_000)
    began = mic.events()[0]
    heard = np.concatenate(
        [began.pre_roll, *(sound.samples for sound in mic.sounds if isinstance(sound, Voice))]
    )
    everything = np.concatenate(mic.sound)
    first = 20 * WINDOW - 400 * 16
    np.testing.assert_array_equal(heard, everything[first : first + len(heard)])
    assert first + len(heard) == mic.endpoint.now


def test_a_pre_roll_at_the_beginning_of_the_stream_is_shorter() -> None:
    began = Microphone().play((0.9, 4))[0]
    assert len(began.pre_roll) == 4 * WINDOW


def test_a_pause_comes_at_the_speculative_point_and_the_end_when_patience_is_over() -> None:
    mic = Microphone()
    mic.play((0.9, 10))
    end = 10 * WINDOW
    times = {}
    for _ in range(40):
        for sound in mic.window(0.0):
            times[type(sound)] = (sound, mic.endpoint.now - end)
    paused, late = times[Paused]
    assert paused == Paused(end)
    assert 160 * 16 <= late < 160 * 16 + WINDOW
    ended, late = times[Ended]
    assert ended == Ended(0, end)
    assert 700 * 16 <= late < 700 * 16 + WINDOW


def test_patience_may_be_shortened_and_confirms_at_once_when_it_has_passed() -> None:
    mic = Microphone()
    mic.play((0.9, 10), (0.0, windows(500)))
    assert mic.endpoint.set_patience(520) == []
    assert mic.endpoint.set_patience(420) == [Ended(0, 10 * WINDOW)]
    assert mic.play((0.0, 50)) == mic.events()


def test_patience_may_be_lengthened() -> None:
    mic = Microphone()
    mic.play((0.9, 10), (0.0, windows(500)))
    mic.endpoint.set_patience(1_400)
    mic.play((0.0, windows(800)))
    assert "Ended" not in mic.kinds()
    mic.play((0.0, windows(120)))
    assert mic.kinds()[-1] == "Ended"


def test_patience_holds_for_one_pause_only() -> None:
    mic = Microphone()
    mic.play((0.9, 10), (0.0, windows(300)))
    mic.endpoint.set_patience(1_500)
    mic.play((0.9, 10), (0.0, windows(720)))
    assert mic.kinds()[-2:] == ["Paused", "Ended"]


def test_no_patience_outlasts_the_longest_silence() -> None:
    mic = Microphone(audio=AudioSettings(silence_duration_ms=800))
    mic.play((0.9, 10), (0.0, windows(300)))
    mic.endpoint.set_patience(5_000)
    mic.play((0.0, windows(520)))
    assert mic.kinds()[-1] == "Ended"


def test_no_patience_ends_a_turn_before_its_pause() -> None:
    mic = Microphone(turn=TurnSettings(unsure_ms=0, speculative_ms=160))
    mic.play((0.9, 10), (0.0, 4))
    assert mic.kinds() == ["Began", "Lasted"]
    mic.play((0.0, 1))
    assert mic.kinds() == ["Began", "Lasted", "Paused", "Ended"]


def test_patience_outside_a_pause_is_ignored() -> None:
    mic = Microphone()
    assert mic.endpoint.set_patience(0) == []
    mic.play((0.9, 10))
    assert mic.endpoint.set_patience(0) == []
    assert mic.kinds() == ["Began", "Lasted"]


def test_speech_after_a_pause_continues_the_utterance() -> None:
    mic = Microphone()
    mic.play((0.9, 10), (0.0, 10), (0.9, 5), (0.0, 40))
    assert mic.kinds() == ["Began", "Lasted", "Paused", "Continued", "Paused", "Ended"]
    assert mic.events()[3] == Continued(20 * WINDOW)
    assert mic.events()[-1] == Ended(0, 25 * WINDOW)


def test_a_click_does_not_take_a_pause_back() -> None:
    mic = Microphone()
    mic.play((0.9, 10), (0.0, 10), (0.9, 1), (0.0, 40))
    assert mic.kinds() == ["Began", "Lasted", "Paused", "Ended"]
    assert mic.events()[-1] == Ended(0, 10 * WINDOW)


def test_speech_that_returns_at_the_last_moment_is_waited_for() -> None:
    mic = Microphone()
    mic.play((0.9, 10), (0.0, windows(700) - 1), (0.9, 2))
    assert mic.kinds()[-1] == "Continued"


def test_a_gap_shorter_than_a_pause_is_part_of_the_speech() -> None:
    mic = Microphone()
    mic.play((0.9, 10), (0.0, 3), (0.9, 5))
    assert mic.kinds() == ["Began", "Lasted"]


def test_speech_counts_as_an_interruption_once_it_has_lasted() -> None:
    mic = Microphone(turn=TurnSettings(barge_in_ms=320))
    mic.play((0.9, 9))
    assert mic.kinds() == ["Began"]
    mic.play((0.9, 10))
    assert mic.events()[1:] == [Lasted(320)]


@pytest.mark.parametrize(
    ("barge_in_ms", "hurried", "windows_needed"),
    [(64, True, 2), (64, False, 4), (320, True, 4), (0, True, 1)],
)
def test_over_a_reply_speech_counts_as_soon_as_it_may_hold_it(
    barge_in_ms: int, hurried: bool, windows_needed: int
) -> None:
    turn = TurnSettings(barge_in_ms=barge_in_ms, min_speech_ms=100)
    mic = Microphone(turn=turn)
    mic.endpoint.hurried = hurried
    mic.play((0.9, windows_needed - 1))
    assert mic.kinds() == []
    mic.play((0.9, 1))
    assert mic.kinds()[0] == "Began"


def test_a_short_word_never_becomes_an_interruption() -> None:
    mic = Microphone(turn=TurnSettings(barge_in_ms=320))
    mic.play((0.9, 6), (0.0, 40))
    assert mic.kinds() == ["Began", "Paused", "Ended"]


def test_each_utterance_counts_its_own_speech() -> None:
    mic = Microphone(turn=TurnSettings(barge_in_ms=320))
    mic.play((0.9, 9), (0.0, 40), (0.9, 9), (0.0, 40))
    assert "Lasted" not in mic.kinds()
    assert mic.kinds().count("Began") == 2


def test_a_pre_roll_does_not_repeat_the_utterance_before() -> None:
    mic = Microphone(turn=TurnSettings(pre_roll_ms=2_000, min_speech_ms=100))
    mic.play((0.9, 10), (0.0, windows(720)), (0.9, 4))
    began = [sound for sound in mic.sounds if isinstance(sound, Began)][1]
    assert mic.endpoint.now - len(began.pre_roll) == 10 * WINDOW


def test_endless_speech_is_ended_and_begins_anew_without_a_gap() -> None:
    mic = Microphone(turn=TurnSettings(max_utterance_s=5))
    mic.play((0.9, windows(6_000)))
    assert mic.kinds() == ["Began", "Lasted", "Paused", "Ended", "Began", "Lasted"]
    ended, began = mic.events()[3:5]
    assert ended.end >= 5 * 16_000
    assert began.at == ended.end
    heard = [
        len(sound.pre_roll) if isinstance(sound, Began) else len(sound.samples)
        for sound in mic.sounds
        if isinstance(sound, Began | Voice)
    ]
    assert sum(heard) == mic.endpoint.now


def test_the_key_opens_an_utterance_and_ends_it() -> None:
    mic = Microphone()
    mic.play((0.0, 10))
    began, lasted = mic.endpoint.talk_key(True)
    assert began.at == 10 * WINDOW
    assert len(began.pre_roll) == 10 * WINDOW
    assert lasted == Lasted(0)
    mic.play((0.0, 100))
    assert mic.kinds() == []
    end = 110 * WINDOW
    assert mic.endpoint.talk_key(False) == [Paused(end), Ended(10 * WINDOW, end)]


def test_a_key_that_goes_up_alone_or_down_twice_changes_nothing() -> None:
    mic = Microphone()
    assert mic.endpoint.talk_key(False) == []
    assert len(mic.endpoint.talk_key(True)) == 2
    assert mic.endpoint.talk_key(True) == []


def test_the_key_takes_a_pause_back_and_holds_the_utterance_open() -> None:
    mic = Microphone()
    mic.play((0.9, 10), (0.0, 10))
    assert mic.endpoint.talk_key(True) == [Continued(20 * WINDOW)]
    mic.play((0.0, 100))
    assert "Ended" not in mic.kinds()
    assert mic.endpoint.talk_key(False)[-1] == Ended(0, 120 * WINDOW)


def test_ending_now_gives_the_rest_of_the_sound_first() -> None:
    mic = Microphone()
    mic.play((0.9, 10))
    mic.endpoint.hear(np.zeros(100, np.float32))
    voice, paused, ended = mic.endpoint.end_now()
    assert len(voice.samples) == 100
    assert (paused, ended) == (
        Paused(10 * WINDOW + 100),
        Ended(0, 10 * WINDOW + 100),
    )
    assert mic.endpoint.end_now() == []


def test_the_end_is_where_the_level_falls_not_where_the_judge_notices() -> None:
    mic = Microphone()
    mic.play((0.0, 20), (0.9, 20))
    for _ in range(3):  # the judge still hears speech
        mic.window(0.9, level=1e-4)
    mic.play((0.0, 40))
    assert abs(mic.events()[-1].end - 40 * WINDOW) <= 160


def test_in_steady_noise_the_judge_is_believed() -> None:
    mic = Microphone()
    for probability, count in ((0.0, 20), (0.9, 20), (0.0, 40)):
        for _ in range(count):
            mic.window(probability, level=0.05)
    assert mic.events()[-1] == Ended(20 * WINDOW, 40 * WINDOW)


@pytest.mark.parametrize("judged_late", [0, 1, 2, 3])
def test_windows_that_are_judged_again_move_a_beginning_back(judged_late: int) -> None:
    endpoint = Endpoint(TURN, AudioSettings())
    for start in range(0, 20 * WINDOW, WINDOW):
        endpoint.hear(np.zeros(WINDOW, np.float32))
        assert endpoint.judge(start, 0.0) == []
    sounds = []
    for start in range((20 - judged_late) * WINDOW, 24 * WINDOW, WINDOW):
        if start >= endpoint.now:
            endpoint.hear(np.zeros(WINDOW, np.float32))
        sounds += endpoint.judge(start, 0.9)
    assert sounds[0].at == (20 - judged_late) * WINDOW


def test_the_recent_sound_is_cut_by_position() -> None:
    recent = Recent(1_000)
    stream = np.arange(50_000, dtype=np.float32)
    for first, last in pairwise([0, *sorted({*range(700, 50_000, 700), 50_000})]):
        recent.push(stream[first:last])
        np.testing.assert_array_equal(
            recent.cut(last - 300, last - 100), stream[max(0, last - 300) : last - 100]
        )
    assert recent.end == 50_000
    assert len(recent.cut(49_000, 60_000)) == 1_000


def test_a_single_loud_step_is_a_click() -> None:
    sound = np.zeros(16_000, np.float32)
    sound[:8_000] = 0.1
    sound[12_000:12_100] = 0.5
    assert last_loud(sound, 9_600) == 8_000


def test_nothing_loud_in_reach_is_none() -> None:
    sound = np.zeros(16_000, np.float32)
    sound[:4_000] = 0.1
    assert last_loud(sound, 3_200) is None
