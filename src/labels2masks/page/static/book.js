// What has been said of each photo: the page's copy, changed at once, saved behind the person's back by the outbox.

import { get } from "./api.js";
import { Outbox } from "./outbox.js";
import { applied, History, isNothing, possible } from "./state.js";

export class Book extends EventTarget {
  #entries = new Map();

  /** photos() -> [{name, ...}] of the project as it is now; store and post as Outbox has them. */
  constructor({ photos, store, post, say, saving }) {
    super();
    Object.assign(this, { photos, say });
    this.outbox = new Outbox({
      store,
      post,
      indexOf: (name) => this.photos().findIndex((p) => p.name === name),
      versionOf: (name) => this.#entries.get(name)?.version ?? 0,
      told: {
        state: saving,
        saved: (name, version) => this.#saved(name, version),
        conflict: (name, found) => this.#conflict(name, found),
        refused: (name, error) => {
          say(`${name}: not saved: ${error.message}`, "error");
          this.reopen(name);
        },
      },
    });
  }

  /** The entry of a photo, fetched where it is not known; what waits to be saved lies on top. */
  async open(i) {
    const { name } = this.photos()[i];
    if (!this.#entries.has(name)) {
      const found = await get(`/api/photos/${i}/marks`);
      if (!this.#entries.has(name)) this.#entries.set(name, this.#filled({ name, i, history: new History() }, found));
    }
    return this.#entries.get(name);
  }

  change(entry, wanted) {
    const change = possible(entry.marks, wanted);
    if (isNothing(change)) return;
    entry.history.done(entry.marks, change);
    this.#apply(entry, change);
  }

  undo(entry) {
    this.#apply(entry, possible(entry.marks, entry.history.undo()));
  }

  redo(entry) {
    this.#apply(entry, possible(entry.marks, entry.history.redo()));
  }

  answer(entry, name, value) {
    entry.answers = { ...entry.answers, [name]: value };
    this.outbox.add(entry.name, { answers: { [name]: value } });
    this.#tell(entry);
  }

  check(entry, checked) {
    entry.checked = checked;
    this.outbox.add(entry.name, { checked });
    this.#tell(entry);
  }

  /** The server has version `version` of photo i: fetch it, if it is not ours. While ours is on its way nobody knows;
   *  then the answer to it tells. */
  heard(i, version) {
    const entry = this.#entries.get(this.photos()[i]?.name);
    if (!entry || version <= entry.version) return;
    if (this.outbox.has(entry.name)) entry.heard = Math.max(version, entry.heard ?? 0);
    else this.reopen(entry.name);
  }

  /** Everything may have changed: a class was renamed, or the server is a new one. */
  reopenAll() {
    for (const name of this.#entries.keys()) this.reopen(name, true);
  }

  /** anew: whatever its version says, as after a start of the server. Else what is older than ours is from before it. */
  async reopen(name, anew = false) {
    const entry = this.#entries.get(name);
    const i = this.photos().findIndex((p) => p.name === name);
    if (!entry || i < 0) return;
    try {
      const found = await get(`/api/photos/${i}/marks`);
      if (!anew && found.version < entry.version) return;
      this.#filled(entry, found);
    } catch {
      return; // the server is gone: when it is back, what it has is heard of again
    }
    this.#tell(entry);
  }

  #apply(entry, change) {
    if (isNothing(change)) return;
    entry.marks = applied(entry.marks, change);
    this.outbox.add(entry.name, { change });
    this.#tell(entry);
  }

  #filled(entry, { version, marks, answers, checked }) {
    const waiting = this.outbox.waiting(entry.name);
    entry.version = version;
    entry.marks = applied(marks, waiting.change);
    if (answers) entry.answers = { ...answers, ...waiting.answers };
    if (checked !== undefined) entry.checked = waiting.checked ?? checked;
    return entry;
  }

  #saved(name, version) {
    const entry = this.#entries.get(name);
    if (!entry) return;
    const others = version > entry.version + 1 || (entry.heard ?? 0) > version;
    entry.version = version;
    if (others) this.reopen(name);
  }

  #conflict(name, found) {
    const entry = this.#entries.get(name);
    if (!entry) return;
    this.#filled(entry, found);
    this.say(`${name} was changed in another tab, too: both changes are kept`);
    this.#tell(entry);
  }

  #tell(entry) {
    this.dispatchEvent(new CustomEvent("marks", { detail: entry }));
  }
}
