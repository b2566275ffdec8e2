// The classes: which one is in hand, which are in the photo, and the dialog that adds, renames, merges and recolours.

import { post } from "./api.js";
import { button, change, el, field, icon, select } from "./dom.js";
import { freeColour } from "./palette.js";
import { tagOf } from "./state.js";

/** The key that takes class number c, from 0: 1 to 9; later ones are reached with C. */
export const keyOf = (c) => (c < 9 ? String(c + 1) : "");

export class ClassPanel {
  chosen = null;
  #list = el("ul", { class: "classes", "aria-label": "Classes" });

  /** tag(name, negative): a tag was pressed. changed(): another class is in hand. */
  constructor(app, { tag, changed }) {
    Object.assign(this, { app, tag, changed });
    const add = button("Add a class", "+", () => this.edit(null), { kind: "quiet" });
    this.element = el("section", { class: "panel" }, el("h2", {}, "Classes"), this.#list, add);
    change(add, { "aria-keyshortcuts": null });
    add.querySelector("kbd").remove();
  }

  get names() {
    return this.app.project.classes.map((c) => c.name);
  }

  choose(name) {
    if (!name) return;
    this.chosen = name;
    this.render();
    this.changed();
  }

  step(by) {
    const names = this.names;
    if (names.length) this.choose(names[(names.indexOf(this.chosen) + by + names.length) % names.length]);
  }

  /** Draw the list anew for the marks of a photo (null: none is open). */
  render(entry = this.entry) {
    this.entry = entry;
    const { classes } = this.app.project;
    if (!this.names.includes(this.chosen))
      this.chosen = (classes.find((c) => !c.background) ?? classes[0])?.name ?? null;
    const focused = document.activeElement?.dataset?.of;
    this.#list.replaceChildren(...classes.map((c, k) => this.#row(c, k)));
    if (focused) [...this.#list.querySelectorAll("[data-of]")].find((b) => b.dataset.of === focused)?.focus();
  }

  #row({ name, background }, k) {
    const swatch = el("span", { class: "swatch", "--colour": this.app.colours()[k] });
    const pick = el(
      "button",
      {
        type: "button",
        class: "pick",
        "aria-pressed": name === this.chosen,
        "data-of": `pick ${name}`,
        "aria-keyshortcuts": keyOf(k) || null,
        onclick: () => this.choose(name),
      },
      el("kbd", { "aria-hidden": true }, keyOf(k)),
      swatch,
      el("span", { class: "name" }, name),
    );
    const said = this.entry && tagOf(this.entry.marks, name);
    const tag = (text, negative, told) =>
      el(
        "button",
        {
          type: "button",
          class: negative ? "tag no" : "tag",
          disabled: !this.entry,
          "data-of": `${text} ${name}`,
          "aria-pressed": said === (negative ? "absent" : "present"),
          "aria-label": told,
          title: told,
          onclick: () => this.tag(name, negative),
        },
        text,
      );
    return el(
      "li",
      { class: name === this.chosen ? "chosen" : "" },
      pick,
      background
        ? null
        : [tag("in", false, `${name} is in this photo`), tag("none", true, `there is no ${name} in this photo`)],
      el(
        "button",
        {
          type: "button",
          class: "edit",
          "aria-label": `Edit ${name}`,
          title: "Rename, recolour, merge",
          "data-of": `edit ${name}`,
          onclick: () => this.edit(name),
        },
        icon("edit"),
      ),
    );
  }

  /** The dialog: of a class that is there, or of a new one (null). */
  edit(name) {
    const { classes } = this.app.project;
    const known = classes.find((c) => c.name === name);
    const title = known ? `Class ${name}` : "Add a class";
    const text = el("input", { type: "text", value: name ?? "", maxlength: 80, required: true, autocomplete: "off" });
    const colour = el("input", { type: "color", value: known?.colour ?? freeColour(classes.map((c) => c.colour)) });
    let into = "";
    const others = classes.filter((c) => c.name !== name).map((c) => [c.name, c.name]);
    const merge =
      known && others.length
        ? field(
            "Merge into",
            select([["", "keep it"], ...others], "", (value) => {
              into = value;
            }),
            "All its marks become marks of that class.",
          )
        : null;
    const failed = el("p", { class: "failed", role: "alert" });
    const dialog = el("dialog", { "aria-label": title });
    const close = () => {
      dialog.close();
      dialog.remove();
    };
    const act = async (bodies) => {
      try {
        for (const body of bodies) await post("/api/classes", body);
        await this.app.reload();
        if (!into && text.value.trim()) this.chosen = text.value.trim();
        close();
        this.render();
        this.changed();
      } catch (error) {
        failed.textContent = error.message;
      }
    };
    const save = () => {
      const to = text.value.trim();
      if (!to) {
        failed.textContent = "A class needs a name.";
        return text.focus();
      }
      if (!known) return act([{ op: "add", name: to, colour: colour.value }]);
      if (into) return act([{ op: "merge", name, to: into }]);
      const bodies = [];
      if (colour.value !== known.colour) bodies.push({ op: "recolour", name, colour: colour.value });
      if (to !== name) bodies.push({ op: "rename", name, to });
      return bodies.length ? act(bodies) : close();
    };
    const remove = known && !known.background ? this.#remover(name, act) : null;
    dialog.append(
      el(
        "form",
        {
          onsubmit: (event) => {
            event.preventDefault();
            save();
          },
        },
        el("h2", {}, title),
        field("Name", text),
        field("Colour", colour),
        merge,
        failed,
        el(
          "div",
          { class: "row" },
          el("button", { type: "submit", class: "main" }, known ? "Save" : "Add"),
          button("Cancel", "", close),
          el("span", { class: "gap" }),
          remove,
        ),
      ),
    );
    dialog.addEventListener("close", () => dialog.remove());
    document.body.append(dialog);
    dialog.showModal();
    text.select();
  }

  /** Removing takes two presses, since marks lose their meaning with their class. */
  #remover(name, act) {
    const made = button(
      "Remove",
      "",
      () => {
        if (made.dataset.sure) return act([{ op: "remove", name }]);
        made.dataset.sure = "yes";
        made.querySelector("span").textContent = `Really remove ${name} and its marks?`;
      },
      { kind: "danger" },
    );
    return made;
  }
}
