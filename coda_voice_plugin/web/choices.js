// What a person has chosen, kept in this browser.

const KEPT = "coda-voice";

export function recall() {
  try {
    return JSON.parse(localStorage.getItem(KEPT)) ?? {};
  } catch {
    return {}; // storage is off here, or holds something else
  }
}

export function keep(choices) {
  try {
    localStorage.setItem(KEPT, JSON.stringify(choices));
  } catch {
    // storage is off here: the choice holds until the page is left
  }
}
