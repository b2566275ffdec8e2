// The first screen: draw on a photo, watch the masks follow, answer what is complete, go to the next.

import { get, getPlanes, postPlanes } from "./api.js";
import { ClassPanel } from "./classpanel.js";
import { button, change, choice, el, field, icon, percent } from "./dom.js";
import { Drawing } from "./drawing.js";
import { labelKeys } from "./labelkeys.js";
import { draftHint, paintDraft, paintMarks } from "./marks.js";
import { frameOf, MaskLayer } from "./masklayer.js";
import { asMask, shares } from "./overlay.js";
import { MarkList, Questions } from "./sidepanels.js";
import { Stage } from "./stage.js";
import { Strip } from "./strip.js";
import { TOOLS } from "./tools.js";

export class LabelScreen {
  i = null;
  #layer = new MaskLayer();
  #waiting = false;
  #again = false;

  constructor(app) {
    this.app = app;
    const canvas = el("canvas", { tabindex: 0, role: "application", "aria-roledescription": "drawing area",
      "aria-label": "Photo. Arrow keys move a cross, the space bar presses the pen." });
    this.stage = new Stage(canvas, { painted: (context, view) => this.#painted(context, view) });
    this.classes = new ClassPanel(app, { tag: (n, no) => this.drawing.tag(n, no), changed: () => this.#changed() });
    this.questions = new Questions(app, { answer: (name, value) => this.answer(name, value) });
    this.drawing = new Drawing({
      stage: this.stage, book: app.book, className: () => this.classes.chosen, width: () => this.width,
      changed: () => this.#changed(), say: app.say,
    });
    this.marks = new MarkList(app, {
      remove: (mark) => this.drawing.remove(mark),
      point: (id) => { this.drawing.pointedAt = id; this.#changed(); },
    });
    this.strip = new Strip(app, { open: (i) => { this.overview(false); app.go(`#label/${i}`); } });
    this.element = el("div", { class: "label" }, this.#toolbar(), this.#middle(canvas), this.#side(), this.strip.element);
    this.keys = labelKeys(this);
    app.book.addEventListener("marks", ({ detail }) => { if (detail === this.entry) this.#changed(); });
    app.on("model", ({ photos }) => { this.strip.stale(photos ?? null); if (!photos || photos.includes(this.i)) this.fetchMask(); });
    app.on("project", () => this.#renewed());
    app.on("photos", (photos) => photos.forEach((i) => this.strip.refresh(i)));
    app.settings.addEventListener("changed", () => { this.strip.repaint(); this.#changed(); });
  }

  get photo() { return this.app.project.photos[this.i]; }

  /** Ink width in photo pixels: what the person chose, else a hundredth of the photo's long side. */
  get width() {
    const chosen = this.app.settings.get("width");
    return chosen || (this.photo ? Math.max(3, Math.round(Math.max(this.photo.width, this.photo.height) / 80)) : 5);
  }

  set width(value) {
    this.app.settings.set("width", Math.min(Math.max(Math.round(value), 1), 200));
  }

  async enter(argument) {
    if (!this.strip.shown) this.strip.fill();
    const i = Number.parseInt(argument, 10);
    await this.open(Number.isInteger(i) && this.app.project.photos[i] ? i : this.i ?? 0);
  }

  async open(i) {
    if (!this.app.project.photos.length) return;
    const other = i !== this.i;
    this.i = i;
    this.strip.select(i);
    if (other || !this.stage.photo) {
      this.entry = null;
      this.drawing.entry = null;
      this.#layer.mask = null;
      this.note.textContent = "";
      this.stage.show(this.photo);
      this.#changed();
    }
    this.fetchMask();
    const entry = await this.app.book.open(i);
    if (this.i !== i) return;
    if (this.entry !== entry) { this.entry = entry; this.drawing.open(entry); }
    this.stage.canvas.dataset.ready = i;
  }

  turn(by) { this.app.go(`#label/${this.strip.beside(this.i, by)}`); }

  /** The photo the model is least sure of; before there is a model, the next one that nobody approved. */
  async next() {
    const { i } = await get(`/api/next?after=${this.i}`);
    const { photos } = this.app.project;
    const open = [...photos.slice(this.i + 1), ...photos.slice(0, this.i)].find((p) => p.state !== "checked");
    if (open) this.app.go(`#label/${i ?? open.i}`);
    else this.app.say("Every other photo is checked.");
  }

  answer(name, value) {
    if (name && this.entry) this.app.book.answer(this.entry, name, value);
  }

  check() { if (this.entry) this.app.book.check(this.entry, !this.entry.checked); }

  overview(on = !this.element.classList.contains("overview")) {
    this.element.classList.toggle("overview", on);
    change(this.all, { "aria-pressed": on });
    this.strip.select(this.i);
    (on ? this.strip.list.querySelector("[aria-current]") : this.stage.canvas)?.focus();
  }

  /** The newest mask of this photo. Asked for again when the model moved on meanwhile, never twice at a time. */
  async fetchMask() {
    if (!this.app.project.model?.version) { this.note.textContent = "Draw something: masks of all photos follow."; return; }
    this.#again = true;
    if (this.#waiting) return;
    this.#waiting = true;
    while (this.#again) {
      this.#again = false;
      const { i } = this;
      try {
        const found = await getPlanes(`/api/photos/${i}/mask?size=full`);
        if (i === this.i) this.#show(found);
      } catch (error) {
        if (i === this.i && error.status === 404) { this.#layer.mask = null; this.note.textContent = error.message; }
      }
    }
    this.#waiting = false;
  }

  #show(found, how = "") {
    this.#layer.mask = asMask(found);
    const { undecided } = shares(this.#layer.mask, []);
    this.note.textContent = [how, undecided > 0.0005 ? `${percent(undecided, undecided < 0.1 ? 1 : 0)} undecided (striped)` : "All decided"]
      .filter(Boolean).join(" · ");
    change(this.stage.canvas, { "data-mask": found.version ?? "0", "data-how": how || "model" });
    this.stage.render();
  }

  async sharpen(how) {
    const { i } = this;
    const name = how === "crf" ? "Sharpened" : "GrabCut";
    this.note.textContent = how === "crf" ? "Sharpening …" : "GrabCut at work …";
    try {
      const found = await postPlanes(`/api/photos/${i}/sharpen`, { how });
      if (i === this.i) this.#show(found, name);
    } catch (error) {
      this.note.textContent = "";
      this.app.say(error.message, "error");
    }
  }

  #renewed() {
    this.strip.fill();
    this.strip.repaint();
    this.classes.render();
    this.marks.shown = null;
    if (this.i !== null) { this.strip.select(this.i); this.#changed(); this.fetchMask(); }
  }

  /** Bring all that is beside the photo up to date; cheap enough for every move of the pen. */
  #changed() {
    const { drawing, entry, app } = this;
    for (const { tool } of TOOLS) change(this.tools[tool], { "aria-pressed": drawing.tool === tool });
    change(this.not, { "aria-pressed": drawing.negative });
    change(this.undo, { disabled: !entry?.history.canUndo });
    change(this.redo, { disabled: !entry?.history.canRedo });
    change(this.checked, { "aria-pressed": Boolean(entry?.checked), disabled: !entry });
    const hint = TOOLS.find((t) => t.tool === drawing.tool).hint;
    const not = drawing.negative && drawing.tool in { point: 1, scribble: 1, box: 1, extreme: 1, polygon: 1 };
    this.hint.textContent = draftHint(drawing.draft) ?? (not ? `Not ${this.classes.chosen}: ${hint}` : hint);
    this.title.textContent = this.photo ? `${this.photo.name}` : "";
    this.inkWidth.textContent = `${this.width} px`;
    change(this.brush, { value: Math.min(this.width, 60) });
    if (this.seen !== entry?.marks || this.seenAnswers !== entry?.answers || this.seenClass !== this.classes.chosen) {
      [this.seen, this.seenAnswers, this.seenClass] = [entry?.marks, entry?.answers, this.classes.chosen];
      this.classes.render(entry);
      this.questions.render(entry, this.classes.chosen);
    }
    this.marks.render(entry, drawing.pointedAt);
    this.stage.canvas.dataset.tool = drawing.tool;
    this.stage.canvas.dataset.marks = entry?.marks.length ?? "";
    this.shown.update(app.settings.get("shown"));
    this.stage.render();
  }

  #painted(context, view) {
    const { settings, project } = this.app;
    const colours = this.app.colours();
    const shown = settings.get("shown");
    const background = project.classes.findIndex((c) => c.background);
    const look = { colours, background: background < 0 ? null : background, only: null };
    if (shown !== "photo") this.#layer.paint(context, frameOf(view, this.stage.photo), shown, look, settings.get("opacity"));
    const place = (name) => project.classes.findIndex((c) => c.name === name);
    const marks = { colourOf: (name) => colours[place(name)], numberOf: (name) => (place(name) < 0 ? "" : String(place(name) + 1)) };
    if (this.entry && settings.get("marks")) paintMarks(context, view, this.entry.marks, marks, this.drawing.pointedAt);
    paintDraft(context, view, this.drawing.draft, marks.colourOf(this.classes.chosen) ?? "#ffffff", this.drawing.negative);
  }

  #toolbar() {
    this.tools = Object.fromEntries(TOOLS.map(({ tool, label, key, hint }) => [tool, button(label, key.toUpperCase(), () => {
      this.drawing.take(tool);
      this.stage.canvas.focus();
    }, { icon: icon(tool), title: hint, kind: "tool" })]));
    this.not = button("Not this", "X", () => this.toggleNot(), { kind: "tool not", title: "What you draw now is not of the class" });
    const small = (name, label, keys, run) => el("button", { type: "button", class: "tool", "aria-label": label,
      "aria-keyshortcuts": keys, title: `${label} (${keys.replace("Control", "Ctrl")})`, onclick: run }, icon(name));
    this.undo = small("undo", "Undo", "Control+Z", () => this.drawing.undo());
    this.redo = small("redo", "Redo", "Control+Y", () => this.drawing.redo());
    return el("div", { class: "tools", role: "toolbar", "aria-label": "Tools", "aria-orientation": "vertical" },
      Object.values(this.tools), el("hr"), this.not, el("hr"), el("div", { class: "pair" }, this.undo, this.redo));
  }

  toggleNot() {
    this.drawing.negative = !this.drawing.negative;
    this.#changed();
  }

  #middle(canvas) {
    this.hint = el("p", { class: "hint", role: "status" });
    this.note = el("p", { class: "note", role: "status" });
    this.title = el("h1", {});
    this.all = button("All photos", "O", () => this.overview(), { "aria-pressed": false });
    return el("div", { class: "middle" },
      el("div", { class: "above" }, this.title, this.hint, el("span", { class: "gap" }), this.all),
      canvas, el("div", { class: "below" }, this.note, el("span", { class: "gap" }), this.#zoom()));
  }

  #zoom() {
    const say = (sign, label, run) => el("button", { type: "button", "aria-label": label, title: label, onclick: run }, sign);
    return el("div", { class: "zoom", role: "group", "aria-label": "Zoom" },
      say("−", "Smaller (key -)", () => this.stage.zoom(1 / 1.4)), say("+", "Larger (key +)", () => this.stage.zoom(1.4)),
      say("Fit", "The whole photo (key F)", () => this.stage.frame(null)), say("1:1", "Photo pixels (key Z)", () => this.stage.actual()));
  }

  #side() {
    const { settings } = this.app;
    this.shown = choice("What lies over the photo", [["mask", "Mask", "M"], ["confidence", "Sureness", "K"], ["photo", "Photo"]],
      settings.get("shown"), (value) => settings.set("shown", value));
    const opacity = el("input", { type: "range", min: 0.1, max: 1, step: 0.05, value: settings.get("opacity"),
      oninput: (event) => settings.set("opacity", Number(event.target.value)) });
    this.inkWidth = el("output", {});
    this.brush = el("input", { type: "range", min: 1, max: 60, step: 1, oninput: (event) => { this.width = Number(event.target.value); } });
    this.checked = button("Checked", "V", () => this.check(), { icon: icon("checked"), title: "I looked at this mask and it is right" });
    return el("aside", { class: "side", "aria-label": "This photo" },
      this.classes.element, this.questions.element, this.marks.element,
      el("section", { class: "panel" }, el("h2", {}, "Mask"), this.shown.element,
        el("div", { class: "pairs" }, field("Strength", opacity),
          el("label", { class: "field" }, el("span", {}, "Ink width ", this.inkWidth), this.brush)),
        el("div", { class: "row" }, button("Sharpen", "R", () => this.sharpen("crf"), { title: "Follow the edges of the photo (dense CRF)" }),
          button("GrabCut", "G", () => this.sharpen("grabcut"), { title: "Cut the boxed and drawn objects out" }))),
      el("div", { class: "row finish" }, this.checked,
        button("Next unsure", "N", () => this.next(), { kind: "main", title: "Open the photo the model is least sure of" })));
  }
}
