// What was said but not yet saved: sent in order, kept in this browser until the server has it.
//
// A batch is {photo, change, answers, checked, tried}. Of one that was tried nobody knows whether it arrived until an
// answer comes, so it is sent again unchanged: marks have ids, and one that is there already changes nothing.

import { Refused, Unreachable } from "./api.js";
import { combined, isNothing, NOTHING, possible } from "./state.js";

export class Outbox {
  #queue = [];
  #busy = false;
  #sending = Promise.resolve();
  #wait = 400;

  /** store: {read() -> text | null, write(text)}. post(path, body) -> JSON.
   *  told: {saved(photo, version), conflict(photo, {version, marks}), refused(photo, error), state(text)}.
   *  indexOf(photo name) -> its number or -1; versionOf(photo name) -> the last version that was seen. */
  constructor({ store, post, told, indexOf, versionOf, later = (run, ms) => setTimeout(run, ms) }) {
    Object.assign(this, { store, post, told, indexOf, versionOf, later });
  }

  /** Take up what an earlier visit could not save. */
  restore() {
    try {
      this.#queue = [...JSON.parse(this.store.read() ?? "[]"), ...this.#queue];
    } catch {
      /* what can not be read can not be sent */
    }
  }

  get size() {
    return this.#queue.length;
  }

  has(photo) {
    return this.#queue.some((b) => b.photo === photo);
  }

  /** What is not yet saved of a photo, so that it can be shown before the server knows it. */
  waiting(photo) {
    return this.#queue
      .filter((b) => b.photo === photo)
      .reduce(
        (all, b) => ({
          change: { add: [...all.change.add, ...b.change.add], remove: [...all.change.remove, ...b.change.remove] },
          answers: { ...all.answers, ...b.answers },
          checked: b.checked ?? all.checked,
        }),
        { change: NOTHING, answers: {}, checked: null },
      );
  }

  add(photo, { change = NOTHING, answers = {}, checked = null }) {
    const at = this.#queue.findIndex((b) => b.photo === photo && !b.tried);
    if (at < 0) this.#queue.push({ photo, change, answers, checked });
    else {
      const was = this.#queue[at];
      this.#queue[at] = {
        photo,
        change: combined(was.change, change),
        answers: { ...was.answers, ...answers },
        checked: checked ?? was.checked,
      };
    }
    this.#keep();
    this.flush();
  }

  /** Until the present attempt to send has ended, well or not. */
  idle() {
    return this.#sending;
  }

  flush() {
    if (!this.#busy) this.#sending = this.#sendAll();
    return this.#sending;
  }

  async #sendAll() {
    this.#busy = true;
    while (this.#queue.length) {
      this.told.state("saving");
      const batch = this.#queue[0];
      batch.tried = true;
      this.#keep();
      try {
        await this.#send(batch);
        this.#wait = 400;
      } catch (error) {
        if (error instanceof Unreachable || error.status === 403 || error.status >= 500) {
          this.#busy = false;
          this.told.state(error.status === 403 ? "refused" : "lost");
          this.later(() => this.flush(), this.#wait);
          this.#wait = Math.min(this.#wait * 1.7, 5000);
          return;
        }
        this.told.refused(batch.photo, error);
      }
      this.#queue.shift();
      this.#keep();
    }
    this.#busy = false;
    this.told.state("saved");
  }

  async #send(batch) {
    const i = this.indexOf(batch.photo);
    if (i < 0) throw new Refused(404, { message: `${batch.photo} is no longer among the photos` });
    if (!isNothing(batch.change)) await this.#sendMarks(i, batch);
    for (const [name, value] of Object.entries(batch.answers)) {
      this.told.saved(batch.photo, (await this.post(`/api/photos/${i}/answer`, { name, value })).version);
    }
    if (batch.checked !== null) {
      this.told.saved(batch.photo, (await this.post(`/api/photos/${i}/checked`, { value: batch.checked })).version);
    }
  }

  /** Where another tab was quicker, what is still possible is sent on top of its marks. */
  async #sendMarks(i, batch) {
    let [change, base] = [batch.change, this.versionOf(batch.photo)];
    for (let k = 0; k < 5 && !isNothing(change); k++) {
      try {
        const answer = await this.post(`/api/photos/${i}/marks`, { base, ...change });
        return this.told.saved(batch.photo, answer.version);
      } catch (error) {
        if (error.status !== 409) throw error;
        change = possible(error.body.marks, change);
        base = error.body.version;
        this.told.conflict(batch.photo, error.body);
      }
    }
  }

  #keep() {
    this.store.write(this.#queue.length ? JSON.stringify(this.#queue) : null);
  }
}
