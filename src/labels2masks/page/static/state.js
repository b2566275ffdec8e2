// What a person has said of one photo, as values. Nothing here knows the browser, the server or the canvas.
//
// A mark is {id, kind, name, negative, xy, width, seconds, order, made}; a change is {add: [mark], remove: [id]}.

export const NOTHING = Object.freeze({ add: [], remove: [] });

export const isNothing = (change) => !change.add.length && !change.remove.length;

/** The marks after a change. Adding what is there and removing what is gone changes nothing. */
export function applied(marks, change) {
  const gone = new Set(change.remove);
  const kept = marks.filter((mark) => !gone.has(mark.id));
  const there = new Set(kept.map((mark) => mark.id));
  return [...kept, ...change.add.filter((mark) => !there.has(mark.id))].sort((a, b) => a.order - b.order);
}

/** The change that takes `change` back, made before it is applied to `marks`. */
export function inverse(marks, change) {
  const there = new Set(marks.map((mark) => mark.id));
  const gone = new Set(change.remove);
  return {
    add: marks.filter((mark) => gone.has(mark.id)),
    remove: change.add.map((mark) => mark.id).filter((id) => !there.has(id)),
  };
}

/** One change that does what `first` and then `second` do. A mark that is added and removed again is in neither. */
export function combined(first, second) {
  const removed = new Set(second.remove);
  const added = new Set(first.add.map((mark) => mark.id));
  const again = new Set(second.add.map((mark) => mark.id));
  return {
    add: [...first.add.filter((mark) => !removed.has(mark.id) && !again.has(mark.id)), ...second.add],
    remove: [...new Set([...first.remove, ...second.remove.filter((id) => !added.has(id))])].filter(
      (id) => !again.has(id),
    ),
  };
}

/** The next place in the order of marks: the newest wins where two speak of one pixel. */
export const nextOrder = (marks) => marks.reduce((most, mark) => Math.max(most, mark.order + 1), 0);

/** What was done and undone on one photo. Whether a step still means anything is for `possible` to say. */
export class History {
  #past = [];
  #future = [];

  get canUndo() {
    return this.#past.length > 0;
  }
  get canRedo() {
    return this.#future.length > 0;
  }

  done(marks, change) {
    this.#past.push({ change, back: inverse(marks, change) });
    this.#future = [];
  }

  /** The change to apply now, or NOTHING. */
  undo() {
    const step = this.#past.pop();
    if (!step) return NOTHING;
    this.#future.push(step);
    return step.back;
  }

  redo() {
    const step = this.#future.pop();
    if (!step) return NOTHING;
    this.#past.push(step);
    return step.change;
  }
}

/** What a change still means for `marks`, where a second tab may have been at work: a mark can not be removed twice. */
export function possible(marks, change) {
  const there = new Set(marks.map((mark) => mark.id));
  return { add: change.add.filter((mark) => !there.has(mark.id)), remove: change.remove.filter((id) => there.has(id)) };
}

/** How a photo speaks of a class by its tag: "present", "absent" or null. */
export function tagOf(marks, name) {
  const tags = marks.filter((mark) => mark.kind === "tag" && mark.name === name);
  return tags.length ? (tags.at(-1).negative ? "absent" : "present") : null;
}

/** Is there a mask of the whole photo? It leaves nothing to ask. */
export const isMasked = (marks) => marks.some((mark) => mark.kind === "mask");

/** The classes whose question is open, in order: first those that have marks, since their answer is fresh in mind. */
export function openQuestions(classes, marks, answers) {
  if (isMasked(marks)) return [];
  const asked = classes.filter((c) => !c.background && !answers[c.name] && tagOf(marks, c.name) !== "absent");
  const marked = new Set(marks.filter((mark) => !mark.negative).map((mark) => mark.name));
  return [...asked.filter((c) => marked.has(c.name)), ...asked.filter((c) => !marked.has(c.name))].map((c) => c.name);
}

/** Seconds a person worked on the next mark. A pause of more than a minute is none of it. */
export class Stopwatch {
  static IDLE = 60;
  #sum = 0;
  #last = null;

  /** Something was done at `now` (seconds). */
  touch(now) {
    if (this.#last !== null && now - this.#last <= Stopwatch.IDLE) this.#sum += now - this.#last;
    this.#last = now;
  }

  /** A tool or a photo was taken up: what went before is no part of the next mark. */
  restart(now) {
    this.#sum = 0;
    this.#last = now;
  }

  /** The seconds of a mark that ends at `now`; the next one begins. */
  take(now) {
    this.touch(now);
    const seconds = this.#sum;
    this.#sum = 0;
    return Math.round(seconds * 100) / 100;
  }
}
