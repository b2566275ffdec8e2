// Take it away: the labels in any format, the masks, the model, the report.

import { get, post } from "./api.js";
import { button, el, field, select } from "./dom.js";
import { JobPanel, newest } from "./jobs.js";

const FORMATS = {
  labels: ["jsonl", "coco", "voc", "yolo", "labelme", "cvat", "label_studio", "folder", "csv"],
  masks: ["png"],
  model: ["onnx"],
  report: ["html"],
};
const CARDS = [
  ["labels", "Labels", "What you said, in the format of the tool that comes next. What a format can not hold is told."],
  ["masks", "Masks", "A mask of every photo as the instant model sees it now, bound by what you said of the photo."],
  [
    "model",
    "Model",
    "The last trained network, else the instant model, in one ONNX file that takes photos of any size.",
  ],
  [
    "report",
    "Report",
    "One page about the last training, with its score and how that was measured, for the eyes of others.",
  ],
];

export class ExportScreen {
  keys = CARDS.map(([what, label], k) => ({
    group: "Export",
    keys: [String(k + 1)],
    what: label,
    run: () => this.start(what),
  }));

  constructor(app) {
    this.app = app;
    this.format = {};
    this.job = new JobPanel(app, "Export");
    this.files = el("div", {});
    this.cards = el("div", { class: "cards" });
    this.element = el(
      "div",
      { class: "page" },
      el("section", { class: "card" }, el("h1", {}, "Take it away"), this.cards, this.job.element),
      this.files,
    );
    app.on("job", (job) => {
      if (job.kind !== "export") return;
      this.job.show(job);
      if (job.state === "done") this.#list(job);
      if (job.state === "failed") app.say(job.message || "The export failed", "error");
    });
  }

  async enter() {
    this.cards.replaceChildren(
      ...CARDS.map(([what, label, about], k) => this.#card(what, label, about, String(k + 1))),
    );
    const job = await newest("export");
    this.job.show(job);
    await this.#list(job);
  }

  #card(what, label, about, key) {
    const formats = this.app.project.formats?.[what] ?? FORMATS[what];
    this.format[what] ??= formats[0];
    const choose =
      formats.length > 1
        ? field(
            "Format",
            select(
              formats.map((f) => [f, f]),
              this.format[what],
              (value) => {
                this.format[what] = value;
              },
            ),
          )
        : null;
    return el(
      "section",
      { class: "export" },
      el("h2", {}, label),
      el("p", {}, about),
      choose,
      el("span", { class: "gap" }),
      button(`Export ${label.toLowerCase()}`, key, () => this.start(what), { kind: "main" }),
    );
  }

  async start(what) {
    try {
      const { job } = await post("/api/export", { what, format: this.format[what] });
      this.job.show({ id: job, kind: "export", state: "waiting", fraction: 0, message: "" });
    } catch (error) {
      this.app.say(error.message, "error");
    }
  }

  async #list(job) {
    let names = job?.files ?? [];
    try {
      names = await get("/api/exports");
    } catch (error) {
      if (error.status !== 404 && error.status !== 405) throw error;
    }
    this.files.replaceChildren(
      ...(names.length
        ? [
            el(
              "section",
              { class: "card" },
              el("h2", {}, "Ready"),
              el(
                "ul",
                { class: "files" },
                names.map((file) =>
                  el(
                    "li",
                    {},
                    el(
                      "a",
                      { href: `/api/exports/${file.split("/").map(encodeURIComponent).join("/")}`, download: "" },
                      file,
                    ),
                  ),
                ),
              ),
            ),
          ]
        : []),
    );
  }
}
