// What a run says of each photo, the worst first: truth, prediction and mistakes against each other under a slider.

import { get, getPlanes, runUrl } from "./api.js";
import { button, change, choice, el, field, select } from "./dom.js";
import { frameOf, MaskLayer } from "./masklayer.js";
import { asMask } from "./overlay.js";
import { Stage } from "./stage.js";
import { scoreOf } from "./train.js";
import { worstFirst, worstRow } from "./worst.js";

const LEFT = [
  ["photo", "Photo", "1"],
  ["truth", "Truth", "2"],
];
const RIGHT = [
  ["mask", "Prediction", "3"],
  ["mistakes", "Mistakes", "4"],
  ["confidence", "Sureness", "5"],
];

export class ResultsScreen {
  #layer = new MaskLayer();
  run = null;
  only = "";
  i = null;
  left = "photo";
  right = "mask";
  at = 0.5;

  constructor(app) {
    this.app = app;
    const canvas = el("canvas", {
      tabindex: 0,
      "aria-label": "Photo with the masks on both sides of the slider",
      role: "img",
    });
    this.stage = new Stage(canvas, {
      painted: (context, view) => this.#painted(context, view),
      input: (event) => this.#input(event),
    });
    this.list = el("ol", { class: "worst", "aria-label": "Photos, the worst first" });
    this.head = el("div", { class: "row form" });
    this.score = el("p", { class: "about" });
    this.slider = el("input", {
      type: "range",
      min: 0,
      max: 1,
      step: 0.01,
      value: 0.5,
      "aria-label": "Where the left side ends",
      oninput: (event) => this.#slide(Number(event.target.value)),
    });
    this.sides = {
      left: choice("Left of the slider", LEFT, "photo", (value) => this.#chosen("left", value)),
      right: choice("Right of the slider", RIGHT, "mask", (value) => this.#chosen("right", value)),
    };
    this.title = el("h1", {});
    this.fix = button("Correct it", "Enter", () => this.app.go(`#label/${this.i}`), {
      kind: "main",
      title: "Open this photo to draw on it",
    });
    this.element = el(
      "div",
      { class: "results" },
      el("aside", { class: "side left", "aria-label": "Run and photos" }, this.head, this.score, this.list),
      el(
        "div",
        { class: "middle" },
        el("div", { class: "above" }, this.title, el("span", { class: "gap" }), this.fix),
        canvas,
        el("div", { class: "below sliders" }, this.sides.left.element, this.slider, this.sides.right.element),
      ),
    );
    this.keys = this.#keys();
    app.settings.addEventListener("changed", () => this.stage.render());
  }

  async enter(argument) {
    const runs = await get("/api/runs");
    this.runs = runs;
    if (!runs.length) return this.#nothing();
    const wanted = argument ? decodeURIComponent(argument) : this.run;
    this.run = (runs.find((r) => r.name === wanted) ?? runs[0]).name;
    const { classes } = this.app.project;
    this.head.replaceChildren(
      field(
        "Run",
        select(
          runs.map((r) => [r.name, r.name]),
          this.run,
          (name) => this.app.go(`#results/${encodeURIComponent(name)}`),
        ),
      ),
      field(
        "Class",
        select([["", "all classes"], ...classes.map((c) => [c.name, c.name])], this.only, (name) => {
          this.only = name;
          this.#fill();
        }),
      ),
    );
    this.score.textContent = scoreOf(runs.find((r) => r.name === this.run));
    await this.#fill();
  }

  #nothing() {
    this.head.replaceChildren();
    this.list.replaceChildren();
    this.title.textContent = "Nothing trained yet";
    this.score.textContent =
      "Mark something on a few photos, then train: the masks of every photo are shown here, the worst first.";
    this.fix.hidden = true;
  }

  async #fill() {
    const query = this.only ? `?class=${encodeURIComponent(this.only)}` : "";
    this.photos = worstFirst(await get(`${runUrl(this.run)}/photos${query}`));
    this.fix.hidden = !this.photos.length;
    const { photos } = this.app.project;
    this.list.replaceChildren(...this.photos.map((found) => worstRow(found, photos[found.i], (i) => this.open(i))));
    if (this.photos.length) await this.open(this.photos.some((p) => p.i === this.i) ? this.i : this.photos[0].i);
    else this.title.textContent = "No photo has this class";
  }

  async open(i) {
    const { run } = this;
    this.i = i;
    const photo = this.app.project.photos[i];
    for (const row of this.list.querySelectorAll("button")) {
      const is = Number(row.dataset.i) === i;
      change(row, { "aria-current": is ? "true" : null });
      if (is) row.scrollIntoView({ block: "nearest" });
    }
    this.title.textContent = photo.name;
    this.#layer.mask = null;
    this.stage.show(photo);
    const mask = asMask(await getPlanes(`${runUrl(run)}/photos/${i}`));
    if (this.i !== i || this.run !== run) return;
    this.#layer.mask = mask;
    for (const made of [...this.sides.left.element.children, ...this.sides.right.element.children]) {
      made.disabled = !mask.truth && (made.dataset.value === "truth" || made.dataset.value === "mistakes");
      made.title = made.disabled ? "This photo has no mask drawn by a person" : "";
    }
    if (mask.truth && this.left === "photo" && !this.chose) this.#side("left", "truth");
    if (!mask.truth && this.left === "truth") this.#side("left", "photo");
    if (!mask.truth && this.right === "mistakes") this.#side("right", "mask");
    this.stage.canvas.dataset.ready = i;
    this.stage.render();
  }

  /** What the person chose stays; before that, the truth is shown wherever there is one. */
  #chosen(which, value) {
    this.chose = true;
    this.#side(which, value);
  }

  #side(which, value) {
    this[which] = value;
    this.sides[which].update(value);
    this.stage.render();
  }

  #slide(at) {
    this.at = Math.min(Math.max(at, 0), 1);
    this.slider.value = this.at;
    this.stage.render();
  }

  #turn(by) {
    const at = this.photos?.findIndex((p) => p.i === this.i) ?? -1;
    const to = this.photos?.[Math.min(Math.max(at + by, 0), this.photos.length - 1)];
    if (to) this.open(to.i);
  }

  /** The border between both sides is where the pointer is while the button is held. */
  #input({ type, screen }) {
    if (type !== "down" && type !== "move") return;
    const [x, , width] = frameOf(this.stage.view, this.stage.photo);
    this.#slide((screen[0] - x) / width);
  }

  #painted(context, view) {
    const { classes } = this.app.project;
    const frame = frameOf(view, this.stage.photo);
    const [x, y, width, height] = frame;
    const only = this.only ? classes.findIndex((c) => c.name === this.only) : null;
    const look = { colours: this.app.colours(), background: this.app.background, only };
    const border = x + width * this.at;
    const halves = [
      [this.left, x, border - x],
      [this.right, border, x + width - border],
    ];
    for (const [what, from, wide] of halves) {
      if (what === "photo" || wide <= 0) continue;
      context.save();
      context.beginPath();
      context.rect(from, y, wide, height);
      context.clip();
      this.#layer.paint(context, frame, what, look, 0.8);
      context.restore();
    }
    context.fillStyle = "#000000";
    context.fillRect(border - 2, y, 4, height);
    context.fillStyle = "#ffffff";
    context.fillRect(border - 1, y, 2, height);
  }

  #keys() {
    const key = (keys, what, run, more = {}) => ({ group: "Results", keys, what, run, ...more });
    const press = (which, value) => {
      const found = [...this.sides[which].element.children].find((b) => b.dataset.value === value);
      if (!found.disabled) found.click();
    };
    return [
      key([".", "PageDown", "ArrowDown"], "Next photo", () => this.#turn(1)),
      key([",", "PageUp", "ArrowUp"], "Photo before", () => this.#turn(-1)),
      key(["ArrowLeft"], "Slider to the left", () => this.#slide(this.at - 0.04)),
      key(["ArrowRight"], "Slider to the right", () => this.#slide(this.at + 0.04)),
      ...LEFT.map(([value, label, k]) => key([k], `${label} on the left`, () => press("left", value))),
      ...RIGHT.map(([value, label, k]) => key([k], `${label} on the right`, () => press("right", value))),
      key(["Enter"], "Correct this photo", () => this.fix.hidden || this.fix.click()),
      key(["+", "="], "Zoom in", () => this.stage.zoom(1.25), { shown: ["+"] }),
      key(["-"], "Zoom out", () => this.stage.zoom(0.8)),
      key(["f"], "The whole photo", () => this.stage.frame(null)),
    ];
  }
}
