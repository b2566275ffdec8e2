// Drawing on a photo: the tool in hand, the draft under it, the marks that come of it.

import { nextOrder, tagOf, Stopwatch } from "./state.js";
import { nearest, STEPS } from "./tools.js";

const now = () => performance.now() / 1000;
const NEAR = 9;

export class Drawing {
  tool = "scribble";
  negative = false;
  draft = null;
  pointedAt = null;
  entry = null;
  #watch = new Stopwatch();

  /** stage: the Stage drawn on. book: takes the changes. className() -> the class in hand or null.
   *  width() -> ink width in photo pixels. changed(): the tool, the draft or what is pointed at is another. */
  constructor({ stage, book, className, width, changed, say }) {
    Object.assign(this, { stage, book, className, width, changed, say });
    stage.input = (event) => this.#input(event);
  }

  open(entry) {
    this.entry = entry;
    this.draft = this.pointedAt = null;
    this.#watch.restart(now());
    this.changed();
  }

  take(tool) {
    this.tool = tool;
    this.draft = this.pointedAt = null;
    this.stage.hand = tool === "hand";
    this.stage.canvas.dataset.grip = tool === "hand" ? "open" : "";
    this.stage.lift();
    this.#watch.restart(now());
    this.changed();
  }

  /** Does the space bar hold the pen down with this tool, or does it tap? */
  get drags() {
    return this.tool === "scribble";
  }

  finish() {
    this.#step({ type: "finish", xy: this.draft?.xy.at(-1) });
  }
  back() {
    this.#step({ type: "back", xy: null });
  }

  drop() {
    this.draft = null;
    this.stage.lift();
    this.changed();
  }

  undo() {
    this.draft = null;
    this.book.undo(this.entry);
    this.changed();
  }
  redo() {
    this.book.redo(this.entry);
    this.changed();
  }

  remove(mark) {
    this.pointedAt = null;
    this.book.change(this.entry, { add: [], remove: [mark.id] });
  }

  /** Say that a class is in the photo or not; said again, it is taken back. */
  tag(name, negative) {
    const before = this.entry.marks.filter((mark) => mark.kind === "tag" && mark.name === name);
    const same = tagOf(this.entry.marks, name) === (negative ? "absent" : "present");
    const add = same ? [] : [this.#mark({ kind: "tag", xy: [] }, name, negative)];
    this.book.change(this.entry, { add, remove: before.map((mark) => mark.id) });
  }

  #input(event) {
    if (!this.entry) return;
    this.#watch.touch(now());
    if (event.type === "leave") return this.#point(null);
    if (this.tool === "hand") return;
    if (this.tool !== "erase") return this.#step(event);
    const found = nearest(this.entry.marks, event.xy, NEAR / this.stage.view.scale);
    if (event.type === "down" && found) this.remove(found);
    this.#point(found && event.type !== "down" ? found.id : null);
  }

  #point(id) {
    if (id === this.pointedAt) return;
    this.pointedAt = id;
    this.changed();
  }

  #step(event) {
    if (!(this.tool in STEPS) || (!this.draft && event.type !== "down")) return;
    const name = this.className();
    if (!name) return event.type === "down" && this.say("Add a class first: marks need a name", "error");
    const options = { width: this.width(), near: NEAR / this.stage.view.scale };
    const { draft, mark } = STEPS[this.tool](this.draft, event, options);
    this.draft = draft;
    if (mark) this.book.change(this.entry, { add: [this.#mark(mark, name, this.negative)], remove: [] });
    this.changed();
  }

  #mark({ kind, xy, width = 0 }, name, negative) {
    const places = xy.map((p) => p.map((v) => Math.round(v * 100) / 100));
    return {
      id: newId(),
      kind,
      name,
      negative,
      xy: places,
      width: Math.round(width * 100) / 100,
      seconds: this.#watch.take(now()),
      order: nextOrder(this.entry.marks),
      made: "page",
    };
  }
}

/** A random UUID; crypto.randomUUID exists only where the page is served from this machine or over TLS. */
function newId() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[6] = (bytes[6] & 0x0f) | 0x40;
  bytes[8] = (bytes[8] & 0x3f) | 0x80;
  const text = [...bytes].map((b) => b.toString(16).padStart(2, "0")).join("");
  return [0, 8, 12, 16, 20].map((from, k, all) => text.slice(from, all[k + 1] ?? 32)).join("-");
}
