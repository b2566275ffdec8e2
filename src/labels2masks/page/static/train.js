// Train a network on what has been said so far, and watch it learn.

import { get, getPlanes, post, thumbUrl } from "./api.js";
import { button, change, el, field, percent, select } from "./dom.js";
import { Curve, isRunning, JobPanel, newest } from "./jobs.js";
import { sheetOf } from "./masklayer.js";
import { asMask, coloured } from "./overlay.js";
import { rgb } from "./palette.js";

export class TrainScreen {
  #looks = 0;
  keys = [{ group: "Train", keys: ["Ctrl+Enter"], what: "Start training", run: () => this.start() }];

  constructor(app) {
    this.app = app;
    this.minutes = el("input", { type: "number", min: 0.1, max: 600, step: "any", value: 10, inputmode: "decimal" });
    this.recipe = "frozen";
    this.go = button("Start training", "Ctrl Enter", () => this.start(), { kind: "main" });
    change(this.go, { "aria-keyshortcuts": "Control+Enter" });
    this.about = el("p", { class: "about" });
    this.job = new JobPanel(app, "Training");
    this.loss = new Curve("loss", "Loss");
    this.miou = new Curve("miou", "mIoU, %", { percents: true });
    this.overlays = el("div", { class: "overlays", role: "list", "aria-label": "What the network says now" });
    this.runs = el("div", {});
    const recipes = app.project.recipes?.length ? app.project.recipes : ["frozen"];
    this.element = el(
      "div",
      { class: "page" },
      el(
        "section",
        { class: "card" },
        el("h1", {}, "Train a network"),
        this.about,
        el(
          "div",
          { class: "row form" },
          field("Minutes", this.minutes),
          field(
            "Recipe",
            select(
              recipes.map((r) => [r, r]),
              this.recipe,
              (value) => {
                this.recipe = value;
              },
            ),
          ),
          this.go,
        ),
      ),
      (this.progress = el(
        "section",
        { class: "card", hidden: true },
        this.job.element,
        el("div", { class: "curves" }, this.loss.element, this.miou.element),
        this.overlays,
      )),
      this.runs,
    );
    app.on("job", (job) => {
      if (job.kind === "train") this.#heard(job);
    });
    app.on("photos", () => this.#count());
    app.on("can", () => this.#count());
  }

  async enter() {
    this.#count();
    const job = await newest("train");
    if (job) this.#heard(job);
    await this.#list();
  }

  #count() {
    const { photos, can } = this.app.project;
    const labelled = photos.filter((p) => p.state !== "untouched" && p.state !== "suggested").length;
    const from = "and starts from the weights of the last training, where there is one";
    this.about.textContent = labelled
      ? `It learns from ${labelled} of ${photos.length} photos ${from}. You can go on labelling meanwhile.`
      : "There is nothing to learn from yet: mark something on a photo first.";
    this.go.disabled = !labelled || can.train === false || isRunning(this.job.job);
  }

  async start() {
    if (this.go.disabled) return;
    const minutes = Number(this.minutes.value);
    if (!(minutes > 0)) return this.app.say("Minutes must be a number above 0", "error");
    this.go.disabled = true;
    try {
      const { job } = await post("/api/train", { minutes, recipe: this.recipe });
      this.#looks = 0;
      this.overlays.replaceChildren();
      this.#heard({ id: job, kind: "train", state: "waiting", fraction: 0, message: "", curve: [] });
    } catch (error) {
      this.app.say(error.message, "error");
      this.#count();
    }
  }

  #heard(job) {
    const ended = isRunning(this.job.job) && !isRunning(job);
    this.progress.hidden = false;
    this.job.show(job);
    for (const curve of [this.loss, this.miou]) curve.show(job.curve ?? []);
    if (job.looks && job.looks !== this.#looks) {
      this.#looks = job.looks;
      this.#look(job);
    }
    this.#count();
    if (!ended) return;
    this.#list();
    if (job.state === "done") this.app.say("The training is done: its masks are under Results.");
    if (job.state === "failed") this.app.say(job.message || "The training failed", "error");
  }

  async #look({ id, photos }) {
    const { project } = this.app;
    for (const [k, i] of photos.entries()) {
      let found;
      try {
        found = await getPlanes(`/api/jobs/${encodeURIComponent(id)}/photos/${i}`);
      } catch {
        continue;
      }
      const mask = asMask(found);
      const canvas = el("canvas", { width: mask.width, height: mask.height });
      const pixels = coloured(mask, this.app.colours().map(rgb), { faint: this.app.background });
      canvas.getContext("2d").drawImage(sheetOf(pixels, mask), 0, 0);
      const made = el(
        "figure",
        { role: "listitem" },
        el("span", { class: "picture" }, el("img", { src: thumbUrl(i), alt: "" }), canvas),
        el("figcaption", {}, project.photos[i]?.name ?? ""),
      );
      if (this.overlays.children[k]) this.overlays.children[k].replaceWith(made);
      else this.overlays.append(made);
    }
  }

  async #list() {
    const runs = (await get("/api/runs")).filter((run) => run.name !== "instant");
    this.runs.replaceChildren(
      ...(runs.length ? [el("section", { class: "card" }, el("h2", {}, "Trained so far"), runTable(runs))] : []),
    );
  }
}

export function scoreOf(run) {
  if (Number.isFinite(run.miou)) return `mIoU ${(100 * run.miou).toFixed(1)}`;
  return Number.isFinite(run.agreement) ? `${percent(run.agreement, 1)} of the labels met` : "not scored";
}

function runTable(runs) {
  return el(
    "table",
    {},
    el(
      "thead",
      {},
      el(
        "tr",
        {},
        ["run", "score", "minutes", "protocol"].map((t) => el("th", { scope: "col" }, t)),
      ),
    ),
    el(
      "tbody",
      {},
      runs.map((run) =>
        el(
          "tr",
          {},
          el("th", { scope: "row" }, el("a", { href: `#results/${encodeURIComponent(run.name)}` }, run.name)),
          el("td", {}, scoreOf(run)),
          el("td", {}, Number.isFinite(run.minutes) ? run.minutes.toFixed(1) : "–"),
          el("td", { class: "words" }, protocolOf(run.protocol)),
        ),
      ),
    ),
  );
}

/** The protocol of a score in one line: what came from whom is text, not markup. */
function protocolOf(protocol) {
  if (!protocol) return "–";
  if (typeof protocol === "string") return protocol;
  const { split, photos, labels, pretraining } = protocol;
  return (
    [split, photos && `${photos} photos`, labels && typeof labels === "string" ? labels : null, pretraining]
      .filter(Boolean)
      .join(", ") || "–"
  );
}
