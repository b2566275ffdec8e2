// An audit: random pixels are named by a person, and what they say of the masks is estimated with its band.
// What the model says is nowhere on this screen: who knows the answer of another agrees too often.

import { get, post } from "./api.js";
import { auditForm, estimated } from "./auditparts.js";
import { keyOf } from "./classpanel.js";
import { paintCross } from "./cross.js";
import { button, change, el } from "./dom.js";
import { isRunning, JobPanel, newest } from "./jobs.js";
import { Stage } from "./stage.js";
import { toScreen } from "./view.js";

const UNCLEAR = "unclear";

export class AuditScreen {
  pixel = null;
  #before = [];
  #busy = false;

  constructor(app) {
    this.app = app;
    const canvas = el("canvas", {
      tabindex: 0,
      role: "img",
      "aria-label": "A photo with a cross on the pixel to name",
    });
    this.stage = new Stage(canvas, { painted: (context, view) => this.#painted(context, view) });
    this.stage.hand = true;
    this.title = el("h1", {});
    this.told = el("p", { class: "hint", role: "status" });

    this.names = el("div", { class: "names", role: "group", "aria-label": "What is under the cross?" });
    this.estimate = el("section", { class: "panel", "aria-live": "polite" });
    this.begin = el("section", { class: "panel" });
    this.job = new JobPanel(app, "Drawing the pixels");
    this.asking = el(
      "div",
      { class: "middle" },
      el("div", { class: "above" }, this.title, this.told),
      canvas,
      el(
        "div",
        { class: "below" },
        button("Closer", "+", () => this.stage.zoom(1.4)),
        button("Farther", "-", () => this.stage.zoom(1 / 1.4)),
        button("Whole photo", "F", () => this.stage.frame(null)),
        button("Back to the cross", "Z", () => this.#close()),
      ),
    );
    this.resting = el("div", { class: "empty", role: "status" });
    change(this.job.element, { class: "job panel" });
    this.element = el(
      "div",
      { class: "audit" },
      this.asking,
      this.resting,
      el("aside", { class: "side", "aria-label": "Audit" }, this.names, this.estimate, this.begin, this.job.element),
    );
    this.keys = this.#keys();
    app.on("job", (job) => {
      if (job.kind !== "audit") return;
      this.#working(job);
      if (job.state === "done") this.#next();
      if (job.state === "failed") app.say(job.message || "The audit failed", "error");
    });
  }

  async enter() {
    this.runs = await get("/api/runs");
    this.#form();
    const job = await newest("audit");
    if (isRunning(job)) this.#working(job);
    try {
      await this.#next();
    } catch (error) {
      if (![400, 404, 409].includes(error.status)) throw error;
      this.#rest(
        "How good are the masks?",
        "Name a few hundred random pixels, and get mIoU with a band that holds the true value 19 times in 20.",
      );
      this.estimate.replaceChildren();
    }
  }

  #working(job) {
    this.job.show(isRunning(job) ? job : null);
    this.start.disabled = isRunning(job);
  }

  /** Nothing to name now: say why, in the photo's place. */
  #rest(title, about) {
    this.pixel = null;
    this.resting.replaceChildren(el("h1", {}, title), el("p", {}, about));
    this.names.replaceChildren();
    [this.resting.hidden, this.asking.hidden] = [false, true];
  }

  #form() {
    const form = auditForm(this.runs);
    this.start = button("Draw the pixels", "", () => this.#begin(form.run(), form.clicks()), { kind: "main" });
    this.begin.replaceChildren(...form.parts, this.start);
  }

  async #begin(run, clicks) {
    this.start.disabled = true;
    try {
      const { id } = await post("/api/audit", { run, clicks });
      this.#before = [];
      this.#working({ id, kind: "audit", state: "waiting", fraction: 0, message: "" });
    } catch (error) {
      this.app.say(error.message, "error");
      this.start.disabled = false;
    }
  }

  async #next() {
    const found = await get("/api/audit/next");
    this.estimate.replaceChildren(...estimated(await get("/api/audit/estimate")));
    if (found.done) {
      return this.#rest("All pixels are named", "Four times as many answers halve the band: draw more to go on.");
    }
    this.#show(found);
  }

  #show(pixel) {
    this.pixel = pixel;
    const photo = this.app.project.photos[pixel.i];
    [this.resting.hidden, this.asking.hidden] = [true, false];
    this.stage.canvas.dataset.number = pixel.number;
    this.title.textContent = "What is under the cross?";
    const place = `${photo.name}, pixel ${pixel.number}, ${pixel.left} to go.`;
    this.told.textContent = `${place} Name it as you would draw it in a mask.`;
    this.#buttons();
    this.stage.show(photo, this.pixel.window);
    this.stage.canvas.focus({ preventScroll: true });
  }

  #close() {
    if (this.pixel) this.stage.frame(this.pixel.window);
  }

  #buttons() {
    const colours = this.app.colours();
    this.names.replaceChildren(
      el("h2", {}, "It is"),
      ...this.app.project.classes.map((c, k) => {
        const made = button(c.name, keyOf(k), () => this.answer(c.name));
        made.prepend(el("span", { class: "swatch", "--colour": colours[k] }));
        return made;
      }),
      button("Unclear", "U", () => this.answer(UNCLEAR), { kind: "quiet" }),
      button("One back", "Backspace", () => this.back(), { kind: "quiet", disabled: !this.#before.length }),
    );
  }

  async answer(name) {
    if (!this.pixel || this.#busy || name === undefined) return;
    this.#busy = true;
    try {
      await post("/api/audit/answer", { number: this.pixel.number, name });
      this.#before.push(this.pixel);
      await this.#next();
    } catch (error) {
      this.app.say(error.message, "error");
    }
    this.#busy = false;
  }

  /** The pixel before, to be named again: the newer answer counts. */
  back() {
    const before = this.#before.pop();
    if (before) this.#show(before);
  }

  #painted(context, view) {
    if (!this.pixel) return;
    const { x, y } = this.pixel;
    const middle = toScreen(view, [x + 0.5, y + 0.5]);
    paintCross(context, middle, { gap: Math.max(view.scale / 2 + 2, 5), long: 22, colour: "#d4351c" });
  }

  #keys() {
    const key = (keys, what, run, more = {}) => ({ group: "Audit", keys, what, run, ...more });
    return [
      ...Array.from({ length: 9 }, (_, k) =>
        key(
          [String(k + 1)],
          "It is class 1 to 9",
          () => this.answer(this.app.project.classes[k]?.name),
          k ? { hidden: true } : { shown: ["1", "9"] },
        ),
      ),
      key(["u"], "Unclear", () => this.answer(UNCLEAR)),
      key(["Backspace"], "One back", () => this.back()),
      key(["+", "="], "Closer", () => this.stage.zoom(1.4), { shown: ["+"] }),
      key(["-"], "Farther", () => this.stage.zoom(1 / 1.4)),
      key(["f"], "Whole photo", () => this.stage.frame(null)),
      key(["z"], "Back to the cross", () => this.#close()),
    ];
  }
}
