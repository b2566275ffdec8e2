// Keys: one table that both acts and explains itself. A key is {keys: ["s"], what, group, run, when?}.
//
// Names: what the keyboard produces ("s", "?", "ArrowLeft"), with "Ctrl+" (also the Mac's command key), "Shift+"
// and "Alt+" before it. Shift is part of the name for letters and named keys, not for signs such as "?".

import { el } from "./dom.js";

function nameOf(event) {
  const letter = /^\p{L}$/u.test(event.key);
  const key = letter ? event.key.toLowerCase() : event.key === " " ? "Space" : event.key;
  const shift = event.shiftKey && (letter || key.length > 1) ? "Shift+" : "";
  return (event.ctrlKey || event.metaKey ? "Ctrl+" : "") + (event.altKey ? "Alt+" : "") + shift + key;
}

const TYPING = "input:not([type=checkbox], [type=range], [type=radio]), textarea, select";

/** Does the focused element need this key for itself? */
function isTaken(target, name) {
  if (!target?.closest) return false;
  if (target.closest("dialog") || (target.closest(TYPING) && name !== "Ctrl+Enter")) return true;
  if (target.closest("button, a, summary") && (name === "Space" || name === "Enter")) return true;
  return Boolean(target.closest("input[type=range]")) && /Arrow|Page|Home|End/.test(name);
}

export class Keys {
  #tables = [];

  constructor(document) {
    document.addEventListener("keydown", (event) => this.#pressed(event));
  }

  /** The tables that hold now; the first one that knows a key has it. */
  use(...tables) {
    this.#tables = tables;
  }

  #pressed(event) {
    const name = nameOf(event);
    if (event.isComposing || isTaken(event.target, name)) return;
    for (const key of this.#tables.flat()) {
      if (!key.keys.includes(name) || (key.when && !key.when())) continue;
      event.preventDefault();
      return key.run(event);
    }
  }

  /** The visible list: groups in the order of their first key. */
  list() {
    const groups = new Map();
    for (const key of this.#tables.flat()) {
      if (key.hidden) continue;
      if (!groups.has(key.group)) groups.set(key.group, []);
      groups.get(key.group).push(key);
    }
    return [...groups].map(([group, keys]) =>
      el(
        "section",
        {},
        el("h3", {}, group),
        el(
          "dl",
          {},
          keys.map((key) => el("div", {}, el("dt", {}, (key.shown ?? key.keys).map(shownKey)), el("dd", {}, key.what))),
        ),
      ),
    );
  }
}

const SIGNS = { ArrowLeft: "←", ArrowRight: "→", ArrowUp: "↑", ArrowDown: "↓", Escape: "Esc", Delete: "Del" };

function shownKey(name) {
  const parts = name.split(/\+(?=.)/).map((part) => SIGNS[part] ?? (/^\p{L}$/u.test(part) ? part.toUpperCase() : part));
  return el("kbd", {}, parts.join(" "));
}
