// The messages of `coda.voice.v1` and the events of CodaVoice. Lengths and positions are samples
// of a reply; see protocol.md.

export type Mode = "full_duplex" | "turn_based" | "push_to_talk";
export type Coding = "pcm16" | "opus";

export interface Ready {
  type: "ready";
  session: string;
  strategy: string;
  stt: string;
  tts: string;
  llm: string;
  input_rate: number;
  output_rate: number;
  token: string | null;
  lease_s: number;
  resumed: "no" | "live" | "stored";
  heard: number;
  missed: number;
  input: Coding;
  output: Coding;
  mode: Mode;
}
export interface Pong { type: "pong"; id: number; heard: number }
export interface UserSpeech { type: "user_speech"; active: boolean }
export interface UserText { type: "user_text"; text: string; final: boolean }
export interface State { type: "state"; state: "listening" | "thinking" | "speaking" }
export interface Caption { type: "caption"; turn: number; words: [text: string, start: number, end: number][] }
export interface SpeechEnd { type: "speech_end"; turn: number; samples: number }
export interface Hold { type: "hold"; turn: number; held: boolean }
export interface Flush { type: "flush"; turn: number }
export interface Problem { type: "problem"; code: string; message: string; fatal: boolean }
export interface Notice { type: "notice"; kind: string; data: Record<string, any> }
/** A milestone of the turn that runs now: milliseconds from the user's last sample of speech. */
export interface Stage { type: "stage"; turn: number; stage: string; ms: number }
export interface Turn {
  type: "turn";
  index: number;
  user: string;
  assistant: string;
  generated: string;
  interrupted: boolean;
  error: string | null;
  typed: boolean;
  timings_ms: Record<string, number>;
  strategy: string;
  stt: string;
  llm: string;
  tts: string;
  heard_ms: number;
  spoken_ms: number;
}
export type ServerEvent =
  | UserSpeech | UserText | State | Caption | SpeechEnd | Hold | Flush | Problem | Notice | Stage | Turn;

export type ClientMessage =
  | { type: "played"; turn: number; samples: number; final: boolean }
  | { type: "stop" }
  | { type: "text"; text: string }
  | { type: "talk"; down: boolean }
  | { type: "mute"; muted: boolean }
  | { type: "mode"; mode: Mode }
  | { type: "model"; model: string }
  | { type: "subscribe"; events: string[] | null };

/** How the microphone listens; the first three are on when left out. */
export interface Listening {
  echoCancellation?: boolean;
  noiseSuppression?: boolean;
  autoGainControl?: boolean;
  /** Id of a microphone; "": the system's. */
  input?: string;
}
export interface Options extends Listening {
  /** "auto", the default: Opus where the browser has it, except with a server on this machine. */
  codec?: "auto" | "pcm16" | "opus";
  /** Go on with a conversation after a reload too (the default), after a drop only, or never. */
  resume?: "tab" | "page" | "none";
  /** Id of a loudspeaker; "": the system's. */
  output?: string;
  /** Types of events that the server shall send; null, the default: all. */
  events?: string[] | null;
  /** Keep the screen on during a conversation; default false. */
  wakeLock?: boolean;
}

/** What the loudspeaker's worklet tells. */
export interface Report {
  turn: number;
  /** Played so far. */
  samples: number;
  /** It stopped there. */
  done: boolean;
  /** It is held, or has run dry. */
  still: boolean;
  /** Milliseconds that wait to be played. */
  buffered: number;
  /** Milliseconds that are gathered before sound begins. */
  target: number;
  /** Times that it ran dry in mid-reply. */
  dry: number;
}

export type Phase = "idle" | "connecting" | "open" | "waiting";

/** What CodaVoice tells besides the messages of the server. */
export interface PhaseChanged {
  phase: Phase;
  /** Until it is tried again. */
  seconds?: number;
  why?: "busy" | "lost";
  /** The browser plays nothing before the next click or key. */
  blocked: boolean;
}
export interface Played { turn: number; samples: number; done: boolean }
export interface Trouble { code: string; message: string }

export type EventMap = { [E in ServerEvent as E["type"]]: E } & {
  ready: Ready;
  phase: PhaseChanged;
  played: Played;
  devices: {};
  trouble: Trouble;
};
