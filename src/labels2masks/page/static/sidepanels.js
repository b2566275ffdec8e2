// Beside the photo: the question "have you marked every ...?", and the list of marks.

import { button, change, el, icon } from "./dom.js";
import { isMasked, openQuestions, tagOf } from "./state.js";

export class Questions {
  element = el("section", { class: "panel question", "aria-live": "polite" });

  constructor(app, { answer }) {
    Object.assign(this, { app, answer });
  }

  /** The class that is asked about now: the one in hand while its question is open, else the first open one. */
  asked(entry, chosen) {
    const open = openQuestions(this.app.project.classes, entry.marks, entry.answers);
    return open.includes(chosen) ? chosen : (open[0] ?? null);
  }

  render(entry, chosen) {
    if (!entry || !this.app.project.classes.some((c) => !c.background)) return this.element.replaceChildren();
    const name = this.asked(entry, chosen);
    const marked = tagOf(entry.marks, name) === "present" || entry.marks.some((m) => m.name === name && !m.negative);
    const told = el("strong", {}, name);
    const asking = name
      ? [
          el(
            "p",
            { class: "ask" },
            ...(marked ? ["Have you marked every ", told, "?"] : ["No ", told, " is marked. Is there none?"]),
          ),
          el(
            "div",
            { class: "row" },
            button(marked ? "Yes, every one" : "Yes, none", "Y", () => this.answer(name, "all")),
            button(marked ? "Not all" : "Not sure", "U", () => this.answer(name, "some")),
          ),
        ]
      : [
          el(
            "p",
            { class: "ask done" },
            icon("checked"),
            isMasked(entry.marks) ? "A mask says it all." : "Every class is answered.",
          ),
        ];
    const answers = this.app.project.classes.filter((c) => entry.answers[c.name]);
    this.element.replaceChildren(
      el("h2", {}, "Is it complete?"),
      ...asking,
      el(
        "ul",
        { class: "answers", "aria-label": "Answers" },
        answers.map((c) => el("li", {}, this.#answer(c, entry))),
      ),
    );
  }

  #answer({ name }, entry) {
    const all = entry.answers[name] === "all";
    return el(
      "button",
      {
        type: "button",
        class: all ? "answer all" : "answer",
        title: "Ask again",
        "aria-label": `${name}: ${all ? "all marked" : "not all marked"}. Ask again`,
        onclick: () => this.answer(name, null),
      },
      `${name}: ${all ? "all" : "not all"}`,
    );
  }
}

const KINDS = {
  tag: "tag",
  point: "point",
  scribble: "scribble",
  box: "box",
  extreme: "extremes",
  polygon: "outline",
  region: "outline",
  mask: "mask of the whole photo",
  shares: "shares of the area",
};

export class MarkList {
  #list = el("ul", { class: "marks", "aria-label": "Marks of this photo" });
  #title = el("h2", {}, "Marks");

  /** remove(mark), point(id | null): a mark is pointed at in the list. */
  constructor(app, { remove, point }) {
    Object.assign(this, { app, remove, point });
    this.element = el("section", { class: "panel grow" }, this.#title, this.#list);
  }

  render(entry, pointedAt) {
    const marks = entry?.marks ?? [];
    if (this.shown === marks && this.colours === this.app.colours().join()) return this.#light(pointedAt);
    this.shown = marks;
    this.colours = this.app.colours().join();
    this.#title.textContent = marks.length ? `Marks: ${marks.length}` : "Marks: none yet";
    this.#list.replaceChildren(...[...marks].reverse().map((mark) => this.#row(mark)));
    this.#light(pointedAt);
  }

  #light(pointedAt) {
    for (const row of this.#list.children) change(row, { class: row.dataset.id === pointedAt ? "lit" : null });
  }

  #row(mark) {
    const k = this.app.project.classes.findIndex((c) => c.name === mark.name);
    const kind = KINDS[mark.kind] ?? mark.kind;
    const said = mark.name ? `${mark.negative ? "not " : ""}${mark.name}: ${kind}` : kind;
    const note = mark.made === "file" ? "from a file" : mark.seconds ? `${mark.seconds.toFixed(1)} s` : "";
    return el(
      "li",
      { "data-id": mark.id, onpointerenter: () => this.point(mark.id), onpointerleave: () => this.point(null) },
      el("span", { class: "swatch", "--colour": this.app.colours()[k] ?? "#9aa1ac" }),
      el("span", { class: "name" }, said),
      el("small", {}, note),
      el(
        "button",
        {
          type: "button",
          "aria-label": `Delete ${said}`,
          title: "Delete",
          onfocus: () => this.point(mark.id),
          onblur: () => this.point(null),
          onclick: () => this.#delete(mark),
        },
        icon("erase"),
      ),
    );
  }

  /** The focus stays in the list, so that several marks can be deleted by keyboard. */
  #delete(mark) {
    const at = [...this.#list.children].findIndex((row) => row.dataset.id === mark.id);
    this.remove(mark);
    this.#list.children[Math.min(at, this.#list.children.length - 1)]?.querySelector("button").focus();
  }
}
