// What <coda-voice> is made of, and its look: a constructed sheet passes any Content-Security-Policy.

const DARK = `
  --ground: var(--coda-ground, #0f1416);
  --raised: var(--coda-raised, #182023);
  --line: var(--coda-line, #2a3539);
  --text: var(--coda-text, #e9eff0);
  --quiet: var(--coda-quiet, #94a4a9);
  --user: var(--coda-user, #45c9b2);
  --coda: var(--coda-voice, #f2a65a);
  --alarm: var(--coda-alarm, #ff8a80);
  color-scheme: dark;`;
const LIGHT = `
  --ground: var(--coda-ground, #f7f6f2);
  --raised: var(--coda-raised, #ffffff);
  --line: var(--coda-line, #dcdad2);
  --text: var(--coda-text, #1b2326);
  --quiet: var(--coda-quiet, #5b686d);
  --user: var(--coda-user, #0b7a6b);
  --coda: var(--coda-voice, #ad5208);
  --alarm: var(--coda-alarm, #b3261e);
  color-scheme: light;`;

export const STYLE = new CSSStyleSheet();
STYLE.replaceSync(`
:host {
  ${DARK}
  --button: var(--coda-button, 176px);
  display: block;
  position: relative;
  container: coda / size;
  min-height: 420px;
  background: var(--ground);
  color: var(--text);
  font: 16px/1.5 var(--coda-font, system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", sans-serif);
}
@media (prefers-color-scheme: light) { :host(:not([theme="dark"])) { ${LIGHT} } }
:host([theme="light"]) { ${LIGHT} }
:host([hidden]), [hidden] { display: none !important; }
* { box-sizing: border-box; margin: 0; }
#frame {
  display: grid;
  grid-template: auto minmax(0, 1fr) auto / minmax(0, 1fr);
  height: 100%;
  padding: 0 max(16px, env(safe-area-inset-left));
}
.unseen { position: absolute; top: 0; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); }
button, input, select { font: inherit; color: inherit; }
button { cursor: pointer; touch-action: manipulation; }
:focus-visible { outline: 2px solid var(--text); outline-offset: 3px; }

header, footer { width: 100%; max-width: 1120px; justify-self: center; }
header { display: flex; gap: 12px; align-items: center; padding: 14px 0 4px 8px; }
header ::slotted(*) { margin: 0; font-size: 17px; font-weight: 600; }
#link, #engines { color: var(--quiet); font-size: 13px; }
#link { margin-left: auto; }
#link:not(:empty)::before {
  content: "";
  display: inline-block;
  width: 7px;
  height: 7px;
  margin-right: 8px;
  border-radius: 50%;
  border: 1.5px solid var(--quiet);
  vertical-align: 1px;
}
#link.on::before { background: var(--user); border-color: var(--user); }
.round {
  display: grid;
  place-items: center;
  width: 44px;
  height: 44px;
  padding: 0;
  border: 0;
  border-radius: 50%;
  background: none;
  color: var(--quiet);
}
.round svg { width: 22px; height: 22px; fill: none; stroke: currentColor; stroke-width: 2; stroke-linecap: round; }
.round:hover, .round[aria-expanded="true"] { background: var(--raised); color: var(--text); }

main { display: grid; grid-template: minmax(0, 1fr) auto / minmax(0, 1fr); justify-items: center; min-height: 0; }
main.first-sight { grid-template-rows: minmax(0, 1fr); align-items: center; }

#talk {
  list-style: none;
  width: 100%;
  max-width: 640px;
  padding: 28px 8px 8px;
  overflow-y: auto;
  overscroll-behavior: contain;
  scrollbar-width: thin;
  scrollbar-color: var(--line) transparent;
  mask-image: linear-gradient(transparent, #000 28px);
  display: flex;
  flex-direction: column;
}
#talk::before { content: ""; margin-top: auto; }
#talk li { margin-top: 12px; overflow-wrap: anywhere; }
.user {
  align-self: flex-end;
  max-width: 85%;
  padding: 8px 14px;
  border-radius: 18px 18px 4px 18px;
  background: var(--raised);
  box-shadow: inset 0 0 0 1px var(--line);
}
.user.partial { color: var(--quiet); }
.coda { max-width: 92%; padding: 0 2px; }
.coda .words { font-size: 18px; }
.coda s { color: var(--quiet); text-decoration-thickness: 1.5px; }
.coda .unheard { display: none; }
.note, .broke { color: var(--quiet); font-size: 13px; }
.note { text-align: center; }
.took {
  padding: 1px 8px;
  border: 0;
  border-radius: 10px;
  background: none;
  color: var(--quiet);
  font-size: 13px;
  font-variant-numeric: tabular-nums;
  text-decoration: underline dotted 1px;
  text-underline-offset: 3px;
}
.took:hover, .took[aria-expanded="true"] { background: var(--raised); color: var(--text); }
.fall {
  display: grid;
  grid-template-columns: minmax(0, max-content) minmax(60px, 1fr) max-content;
  gap: 5px 12px;
  align-items: center;
  max-width: 460px;
  margin: 8px 0 4px;
  padding: 12px 14px;
  border-radius: 10px;
  background: var(--raised);
  font-size: 13px;
}
.fall dt { color: var(--quiet); }
.fall dd { font-variant-numeric: tabular-nums; text-align: right; }
.fall svg { width: 100%; height: 8px; display: block; border-radius: 2px; background: var(--ground); }
.fall rect { fill: var(--coda); }

#instrument { display: flex; flex-direction: column; align-items: center; padding: 4px 0; max-width: 100%; }
#dial {
  position: relative;
  display: grid;
  place-items: center;
  width: calc(var(--button) + 84px);
  height: calc(var(--button) + 84px);
}
#ring { position: absolute; inset: 0; width: 100%; height: 100%; pointer-events: none; }
#button {
  width: var(--button);
  height: var(--button);
  border: 0;
  border-radius: 50%;
  background: var(--raised);
  box-shadow: inset 0 0 0 1px var(--line);
  display: grid;
  place-items: center;
  transition: background 0.15s, box-shadow 0.15s, color 0.2s;
  -webkit-user-select: none;
  user-select: none;
}
@media (hover: hover) { #button:hover { box-shadow: inset 0 0 0 1.5px var(--quiet); } }
#button:active { background: color-mix(in srgb, var(--raised) 92%, var(--text)); }
#button svg { width: 36%; height: 36%; }
.icon { display: none; fill: none; stroke: currentColor; stroke-width: 3; stroke-linecap: round; }
.dots circle { fill: currentColor; stroke: none; }
:host(:is([data-state="idle"], [data-state="listening"], [data-state="hearing"],
  [data-state="connecting"], [data-state="interrupted"], [data-state="muted"])) .mic,
:host([data-state="muted"]) .slash, :host([data-state="thinking"]) .dots,
:host([data-state="speaking"]) .bars, :host([data-state="error"]) .alarm { display: inline; }
:host(:is([data-state="listening"], [data-state="hearing"], [data-state="interrupted"])) #button { color: var(--user); }
:host(:is([data-state="speaking"], [data-state="thinking"])) #button { color: var(--coda); }
:host(:is([data-state="muted"], [data-state="connecting"])) #button { color: var(--quiet); }
:host([data-state="error"]) #button { color: var(--alarm); }
.alarm { stroke-width: 5; }
#word { font-size: 20px; font-weight: 500; text-align: center; }
#hint { min-height: 21px; color: var(--quiet); font-size: 14px; text-align: center; }
#trouble {
  max-width: 520px;
  margin-top: 10px;
  padding: 12px 16px;
  border-radius: 10px;
  border-left: 3px solid var(--alarm);
  background: var(--raised);
  font-size: 15px;
}
#trouble:empty { display: none; }
#trouble button, #writing button, .plain {
  min-height: 36px;
  border: 1px solid var(--line);
  border-radius: 8px;
  background: var(--ground);
  padding: 4px 14px;
}
#trouble button { margin-left: 12px; }

footer { padding: 10px 8px max(14px, env(safe-area-inset-bottom)); text-align: center; }
#tools { display: flex; justify-content: center; gap: 4px; flex-wrap: wrap; }
#tools button {
  border: 0;
  border-radius: 8px;
  background: none;
  padding: 6px 12px;
  min-height: 40px;
  color: var(--quiet);
  font-size: 14px;
}
#tools button:hover, #tools button[aria-pressed="true"] { background: var(--raised); color: var(--text); }
#tools button:disabled { opacity: 0.45; cursor: default; background: none; }
kbd {
  margin-left: 8px;
  padding: 0 5px;
  border: 1px solid var(--line);
  border-radius: 4px;
  font: 12px/1.5 ui-monospace, SFMono-Regular, Menlo, Consolas, monospace;
}
#writing { display: flex; gap: 8px; max-width: 560px; margin: 0 auto 8px; }
#writing input { flex: 1; min-width: 0; padding: 10px 16px; border: 1px solid var(--line); border-radius: 22px; background: var(--raised); }
#writing input:focus-visible { outline-offset: -2px; }
::placeholder { color: var(--quiet); opacity: 1; }
#writing button { border-radius: 22px; padding: 4px 18px; }
#engines { margin-top: 6px; min-height: 20px; overflow-wrap: anywhere; }

:host([compact]) { min-height: 0; height: auto; container: none; }
:host([compact]) :is(header, footer, #talk, #hint) { display: none; }
:host([compact]) { --button: var(--coda-button, 72px); }
:host([compact]) #word { font-size: 14px; }
@container coda (max-width: 640px) or (max-height: 640px) {
  #dial { --button: var(--coda-button, 148px); }
  .coda .words { font-size: 17px; }
}
@media (hover: none) { kbd { display: none; } }
@media (prefers-reduced-motion: reduce) { * { transition: none !important; scroll-behavior: auto !important; } }
@media (forced-colors: active) { #button, .user, .fall { border: 1px solid; } }
`);

export const MARKUP = `
<div id="frame" part="frame">
  <header part="header">
    <slot name="title"></slot>
    <p id="link" part="link"></p>
    <button id="more" part="more" class="round" type="button" aria-expanded="false" aria-haspopup="dialog" data-label="more">
      <svg viewBox="0 0 24 24" aria-hidden="true"><path d="M4 7h9M19 7h1M4 17h1M11 17h9"/><circle cx="16" cy="7" r="2.5"/><circle cx="8" cy="17" r="2.5"/></svg>
    </button>
  </header>
  <main class="first-sight">
    <ol id="talk" part="captions" role="log" aria-live="off" data-label="conversation" tabindex="0" hidden></ol>
    <section id="instrument" data-label="talk">
      <div id="dial">
        <canvas id="ring" aria-hidden="true"></canvas>
        <button id="button" part="button" type="button" aria-pressed="false">
          <svg viewBox="0 0 48 48" aria-hidden="true">
            <g class="icon mic"><rect x="18" y="8" width="12" height="20" rx="6"/><path d="M12 23v1a12 12 0 0 0 24 0v-1M24 36v5"/></g>
            <path class="icon slash" d="M10 9l28 30"/>
            <g class="icon dots"><circle cx="13" cy="24" r="3"/><circle cx="24" cy="24" r="3"/><circle cx="35" cy="24" r="3"/></g>
            <path class="icon bars" d="M10 20v8M17 14v20M24 9v30M31 14v20M38 20v8"/>
            <path class="icon alarm" d="M24 10v17M24 36v.5"/>
          </svg>
        </button>
      </div>
      <p id="word" part="state" aria-hidden="true"></p>
      <p id="hint" part="hint"></p>
      <div id="trouble" part="trouble" role="alert"></div>
    </section>
  </main>
  <footer part="footer">
    <form id="writing" hidden>
      <label class="unseen" for="text" data-word="write"></label>
      <input id="text" type="text" maxlength="4000" autocomplete="off" enterkeyhint="send">
      <button type="submit" data-word="send"></button>
    </form>
    <div id="tools">
      <button id="mute" type="button" aria-pressed="false" aria-keyshortcuts="m"><span></span><kbd>M</kbd></button>
      <button id="stop" type="button" aria-keyshortcuts="Escape"><span data-word="stop"></span><kbd>Esc</kbd></button>
      <button id="type" type="button" aria-expanded="false" aria-controls="writing" aria-keyshortcuts="/"><span data-word="type"></span><kbd>/</kbd></button>
      <button id="end" type="button" data-word="end" hidden></button>
    </div>
    <p id="engines" part="engines"></p>
  </footer>
</div>
<div id="spoken" class="unseen" aria-live="polite"></div>`;
