// The first screen: draw on a photo, watch the masks follow, answer what is complete, go to the next.

import { get } from "./api.js";
import { ClassPanel } from "./classpanel.js";
import { change, el, percent } from "./dom.js";
import { Drawing } from "./drawing.js";
import { labelKeys } from "./labelkeys.js";
import { middle, side, toolbar } from "./labelparts.js";
import { draftHint, paintDraft, paintMarks } from "./marks.js";
import { MaskFeed } from "./maskfeed.js";
import { frameOf, MaskLayer } from "./masklayer.js";
import { asMask, shares } from "./overlay.js";
import { MarkList, Questions } from "./sidepanels.js";
import { Stage } from "./stage.js";
import { Strip } from "./strip.js";
import { STEPS, TOOLS } from "./tools.js";

export class LabelScreen {
  i = null;
  #layer = new MaskLayer();
  #seen = [];

  constructor(app) {
    this.app = app;
    const canvas = el("canvas", {
      tabindex: 0,
      role: "application",
      "aria-roledescription": "drawing area",
      "aria-label": "Photo. Arrow keys move a cross, the space bar presses the pen.",
    });
    this.stage = new Stage(canvas, { painted: (context, view) => this.#painted(context, view) });
    this.classes = new ClassPanel(app, { tag: (n, no) => this.drawing.tag(n, no), changed: () => this.#changed() });
    this.questions = new Questions(app, { answer: (name, value) => this.answer(name, value) });
    this.drawing = new Drawing({
      stage: this.stage,
      book: app.book,
      className: () => this.classes.chosen,
      width: () => this.width,
      changed: () => this.#changed(),
      say: app.say,
    });
    this.masks = new MaskFeed({
      version: () => this.entry?.version,
      sharp: () => app.settings.get("sharp"),
      shown: (found, how) => this.#show(found, how),
      missing: (message) => {
        this.#layer.mask = null;
        this.parts.note.textContent = message;
      },
    });
    this.marks = new MarkList(app, {
      remove: (mark) => this.drawing.remove(mark),
      point: (id) => {
        this.drawing.pointedAt = id;
        this.#changed();
      },
    });
    this.strip = new Strip(app, {
      open: (i) => {
        this.overview(false);
        app.go(`#label/${i}`);
      },
    });
    this.parts = { ...toolbar(this), ...middle(this, canvas), ...side(this) };
    const { tools, centre, aside } = this.parts;
    this.element = el("div", { class: "label" }, tools, centre, aside, this.strip.element);
    this.keys = labelKeys(this);
    app.book.addEventListener("marks", ({ detail }) => {
      if (detail === this.entry) this.#changed();
    });
    app.on("model", ({ photos }) => {
      this.strip.stale(photos ?? null);
      if (!photos || photos.includes(this.i)) this.fetchMask();
    });
    app.on("project", () => this.#renewed());
    app.on("photos", (photos) => photos.forEach((i) => this.strip.refresh(i)));
    app.settings.addEventListener("changed", () => {
      this.strip.repaint();
      this.#changed();
    });
  }

  get photo() {
    return this.app.project.photos[this.i];
  }

  /** Ink width in photo pixels: what the person chose, else a eightieth of the photo's long side. */
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
    await this.open(Number.isInteger(i) && this.app.project.photos[i] ? i : (this.i ?? 0));
  }

  async open(i) {
    const other = i !== this.i;
    this.i = i;
    this.strip.select(i);
    if (other || !this.stage.photo) {
      this.entry = null;
      this.drawing.entry = null;
      this.#layer.mask = null;
      this.masks.open(i);
      this.parts.note.textContent = "";
      this.stage.show(this.photo);
      this.#changed();
    }
    this.fetchMask();
    const entry = await this.app.book.open(i);
    if (this.i !== i) return;
    if (this.entry !== entry) {
      this.entry = entry;
      this.drawing.open(entry);
    }
    this.stage.canvas.dataset.ready = i;
  }

  turn(by) {
    this.app.go(`#label/${this.strip.beside(this.i, by)}`);
  }

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

  check() {
    if (this.entry) this.app.book.check(this.entry, !this.entry.checked);
  }

  overview(on = !this.element.classList.contains("overview")) {
    this.element.classList.toggle("overview", on);
    change(this.parts.all, { "aria-pressed": on });
    this.strip.select(this.i);
    (on ? this.strip.list.querySelector("[aria-current]") : this.stage.canvas)?.focus();
  }

  fetchMask() {
    if (this.app.project.model?.version) this.masks.refresh();
    else this.parts.note.textContent = "Draw something: masks of all photos follow.";
  }

  #show(found, how) {
    this.#layer.mask = asMask(found);
    const { undecided } = shares(this.#layer.mask, []);
    const share = percent(undecided, undecided < 0.1 ? 1 : 0);
    const open = undecided > 0.0005 ? `${share} undecided (striped)` : "All decided";
    this.parts.note.textContent = `${open}${{ model: "", crf: ", sharpened", grabcut: ", cut out by GrabCut" }[how]}`;
    change(this.stage.canvas, { "data-mask": found.version, "data-how": how });
    this.stage.render();
  }

  /** Shall masks follow the edges of the photo? */
  toggleSharp() {
    this.app.settings.set("sharp", !this.app.settings.get("sharp"));
    this.masks.open(this.i);
    this.fetchMask();
  }

  async grabCut() {
    this.parts.note.textContent = "GrabCut at work …";
    try {
      await this.masks.sharpen("grabcut");
    } catch (error) {
      this.parts.note.textContent = "";
      this.app.say(error.message, "error");
    }
  }

  #renewed() {
    this.strip.fill();
    this.strip.repaint();
    this.classes.render();
    this.marks.shown = null;
    if (this.i !== null) {
      this.strip.select(this.i);
      this.#changed();
      this.fetchMask();
    }
  }

  /** Bring all that is beside the photo up to date; cheap enough for every move of the pen. */
  #changed() {
    const { drawing, entry, parts, classes } = this;
    for (const { tool } of TOOLS) change(parts.ofTool[tool], { "aria-pressed": drawing.tool === tool });
    change(parts.not, { "aria-pressed": drawing.negative });
    change(parts.undo, { disabled: !entry?.history.canUndo });
    change(parts.redo, { disabled: !entry?.history.canRedo });
    change(parts.checked, { "aria-pressed": Boolean(entry?.checked), disabled: !entry });
    const { hint } = TOOLS.find((t) => t.tool === drawing.tool);
    const not = drawing.negative && drawing.tool in STEPS;
    parts.hint.textContent = draftHint(drawing.draft) ?? (not ? `Not ${classes.chosen}: ${hint}` : hint);
    parts.title.textContent = this.photo?.name ?? "";
    parts.inkWidth.textContent = `${this.width} px`;
    change(parts.brush, { value: Math.min(this.width, 60) });
    const seen = [entry?.marks, entry?.answers, classes.chosen];
    if (seen.some((value, k) => value !== this.#seen[k])) {
      this.#seen = seen;
      classes.render(entry);
      this.questions.render(entry, classes.chosen);
    }
    this.marks.render(entry, drawing.pointedAt);
    change(this.stage.canvas, { "data-tool": drawing.tool, "data-marks": entry?.marks.length ?? null });
    parts.shown.update(this.app.settings.get("shown"));
    change(parts.sharp, { "aria-pressed": this.app.settings.get("sharp") });
    this.stage.render();
  }

  #painted(context, view) {
    const { settings, project } = this.app;
    const colours = this.app.colours();
    const shown = settings.get("shown");
    const look = { colours, background: this.app.background, only: null };
    if (shown !== "photo")
      this.#layer.paint(context, frameOf(view, this.stage.photo), shown, look, settings.get("opacity"));
    const place = (name) => project.classes.findIndex((c) => c.name === name);
    const marks = {
      colourOf: (name) => colours[place(name)],
      numberOf: (name) => (place(name) < 0 ? "" : String(place(name) + 1)),
    };
    if (this.entry && settings.get("marks")) paintMarks(context, view, this.entry.marks, marks, this.drawing.pointedAt);
    const { draft, negative } = this.drawing;
    paintDraft(context, view, draft, marks.colourOf(this.classes.chosen) ?? "#ffffff", negative);
  }

  toggleNot() {
    this.drawing.negative = !this.drawing.negative;
    this.#changed();
  }
}
