/** @typedef {import("./events.js").EventMap} EventMap */
/** @typedef {import("./events.js").Listening} Listening */
/** @typedef {import("./events.js").Options} Options */
export class CodaVoice extends EventTarget {
    /** @param {string} [url]
     *  @param {Options} [options] */
    constructor(url?: string, options?: Options);
    get phase(): import("./events.js").Phase;
    get muted(): boolean;
    get listening(): boolean;
    /** The browser plays nothing before the next click or key. */
    get blocked(): boolean;
    /** A reload of this tab cut a conversation off; start() goes on with it. */
    get resumable(): boolean;
    set session(session: string | null);
    /** Id of the conversation that lasts, or that start() goes on with; null: a new one. */
    get session(): string | null;
    get stats(): {
        bitrate: number;
        soundPlayed: number;
        bufferedMs: number;
        targetMs: number;
        ranDry: number;
        rttMs: number;
        connectMs: number;
        connects: number;
        framesSent: number;
        framesDropped: number;
    };
    /** Call `act` with the detail of each event of a type; returns what ends that.
     *  @template {keyof EventMap} T
     *  @param {T} type
     *  @param {(detail: EventMap[T]) => void} act
     *  @returns {() => void} */
    on<T extends keyof EventMap>(type: T, act: (detail: EventMap[T]) => void): () => void;
    /** Begin a conversation. Without the microphone Coda can be written to.
     *  @param {{microphone?: boolean}} [how] */
    start({ microphone }?: {
        microphone?: boolean;
    }): Promise<void>;
    /** Hang up. */
    end(): void;
    /** Make Coda stop speaking. */
    stop(): void;
    /** Say it in writing; a conversation without microphone is begun if there is none.
     *  @param {string} text */
    say(text: string): Promise<void>;
    /** Push-to-talk.
     *  @param {boolean} down */
    talk(down: boolean): void;
    /** @param {boolean} muted */
    mute(muted: boolean): void;
    /** Any message of the protocol; without a conversation it is lost.
     *  @param {import("./events.js").ClientMessage} message */
    send(message: import("./events.js").ClientMessage): void;
    /** Try to connect now instead of at the end of the wait. */
    retry(): void;
    /** Loudness now: 0 (silence) to 1.
     *  @param {"user" | "coda"} who */
    level(who: "user" | "coda"): number;
    /** Coda's spectrum now.
     *  @param {Uint8Array<ArrayBuffer>} bins */
    spectrum(bins: Uint8Array<ArrayBuffer>): void;
    /** Microphones and, where they can be chosen, loudspeakers: {inputs, outputs} of {id, label}. */
    devices(): Promise<{
        inputs: {
            id: string;
            label: string;
        }[];
        outputs: {
            id: string;
            label: string;
        }[];
    }>;
    /** How the microphone listens now, as the browser tells it; null without one. */
    get listens(): MediaTrackSettings | null;
    /** Change echo cancellation and so on, at once; false when the browser refused, which is told
     *  as trouble.
     *  @param {Listening} wishes */
    configure(wishes: Listening): Promise<boolean>;
    /** @param {string} id  "": the system's */
    setInput(id: string): Promise<boolean>;
    /** @param {string} id  "": the system's */
    setOutput(id: string): Promise<boolean>;
    #private;
}
export type EventMap = import("./events.js").EventMap;
export type Listening = import("./events.js").Listening;
export type Options = import("./events.js").Options;
