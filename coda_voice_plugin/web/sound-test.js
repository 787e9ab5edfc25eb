// Hears whether the microphone hears you, and whether it hears Coda's own loudspeaker.

import { explain } from "./devices.js";

const ABOVE_DB = 10; // so much louder than the room counts as heard
const FAINTEST_DB = -60;
const NOTES = [440, 554, 659]; // Hertz

/** `tell` gets what is going on (a key of the words) and the level, 0 to 1, many times a second.
 *  Gives {key} of the result, or {key, message} of what failed. */
export async function testSound(wishes, { input, output }, tell) {
  let stream;
  let context;
  try {
    const device = input ? { deviceId: { exact: input } } : {};
    if (!navigator.mediaDevices) throw new DOMException("", "SecurityError");
    stream = await navigator.mediaDevices.getUserMedia({ audio: { ...wishes, ...device } });
    context = new AudioContext();
    if (output && context.setSinkId) await context.setSinkId(output);
    const ear = context.createAnalyser();
    ear.fftSize = 1024;
    context.createMediaStreamSource(stream).connect(ear);
    await context.resume();
    const quiet = mean(await listen(ear, 900, (level) => tell("testQuiet", level)));
    play(context);
    const tone = await listen(ear, 1500, (level) => tell("testTone", level));
    // its first part is what echo cancellation learns from
    const echo = mean(tone.slice(tone.length / 2));
    const speech = await listen(ear, 3000, (level) => tell("testSpeak", level));
    const floor = Math.max(quiet + ABOVE_DB, FAINTEST_DB);
    if (Math.max(...speech) < floor) return { key: "testSilent" };
    return { key: echo > floor ? "testEcho" : "testGood" };
  } catch (error) {
    const { code, message } = explain(error);
    return { key: `trouble:${code}`, message };
  } finally {
    for (const track of stream?.getTracks() ?? []) track.stop();
    context?.close();
  }
}

/** Loudness in dB, 20 times a second. */
async function listen(ear, ms, tell) {
  const samples = new Float32Array(ear.fftSize);
  const heard = [];
  for (let at = 0; at < ms; at += 50) {
    await new Promise((done) => setTimeout(done, 50));
    ear.getFloatTimeDomainData(samples);
    const power = samples.reduce((sum, sample) => sum + sample * sample, 0) / samples.length;
    heard.push(10 * Math.log10(power + 1e-10));
    tell(Math.max(0, Math.min(1, (heard.at(-1) + 60) / 50)));
  }
  return heard;
}

const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;

function play(context) {
  const gain = context.createGain();
  gain.connect(context.destination);
  NOTES.forEach((note, index) => {
    const from = context.currentTime + 0.05 + index * 0.45;
    const tone = new OscillatorNode(context, { frequency: note });
    gain.gain.setValueAtTime(0, from);
    gain.gain.linearRampToValueAtTime(0.2, from + 0.03);
    gain.gain.linearRampToValueAtTime(0, from + 0.43);
    tone.connect(gain);
    tone.start(from);
    tone.stop(from + 0.44);
  });
}
