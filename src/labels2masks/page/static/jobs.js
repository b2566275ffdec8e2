// Work that takes minutes: its progress, a way to stop it, its curves.

import { get, post } from "./api.js";
import { button, el, percent, svg } from "./dom.js";

const WORDS = { waiting: "waiting", running: "running", done: "done", failed: "failed", stopped: "stopped" };

/** The newest job of a kind, or null. Servers that keep no list of jobs know none. */
export async function newest(kind) {
  try {
    return (await get("/api/jobs")).filter((job) => job.kind === kind).at(-1) ?? null;
  } catch (error) {
    if (error.status === 404) return null;
    throw error;
  }
}

export const isRunning = (job) => Boolean(job) && (job.state === "running" || job.state === "waiting");

export class JobPanel {
  element = el("section", { class: "job", hidden: true, "aria-live": "polite" });

  constructor(app, label) {
    Object.assign(this, { app, label });
    this.told = el("p", {});
    this.bar = el("progress", { max: 1, "aria-label": label });
    this.halt = button("Stop", "", async () => {
      this.halt.disabled = true;
      await post(`/api/jobs/${encodeURIComponent(this.job.id)}/stop`).catch((error) => app.say(error.message, "error"));
    });
    this.element.append(el("div", { class: "row" }, this.bar, this.halt), this.told);
  }

  show(job) {
    this.job = job;
    this.element.hidden = !job;
    if (!job) return;
    const running = isRunning(job);
    this.element.dataset.state = job.state;
    this.halt.hidden = !running;
    if (running) this.halt.disabled = false;
    if (running && !job.fraction) this.bar.removeAttribute("value");
    else this.bar.value = job.state === "done" ? 1 : (job.fraction ?? 0);
    const share = running && job.fraction ? `, ${percent(job.fraction)}` : "";
    const message = job.message ? `. ${job.message}` : "";
    this.told.textContent = `${this.label}: ${WORDS[job.state] ?? job.state}${share}${message}`;
  }
}

/** A live curve: points [{step, [of]}] over their steps, with the last value named. */
export class Curve {
  element = el("figure", { class: "curve" });

  constructor(of, title, { percents = false } = {}) {
    Object.assign(this, { of, title, percents });
    this.show([]);
  }

  show(curve) {
    const points = curve.filter((p) => Number.isFinite(p[this.of]));
    const text = (value) => (this.percents ? (100 * value).toFixed(1) : value.toPrecision(3));
    const last = points.at(-1);
    this.element.hidden = !last;
    const caption = el(
      "figcaption",
      {},
      `${this.title} `,
      el("strong", {}, last ? text(last[this.of]) : ""),
      last ? ` after ${last.step} steps` : "",
    );
    this.element.replaceChildren(caption, this.#drawing(points, text));
  }

  #drawing(points, text) {
    const [left, top, wide, high] = [44, 10, 520, 150];
    const most = this.percents ? 1 : Math.max(...points.map((p) => p[this.of]), 1e-9) * 1.05;
    const end = Math.max(points.at(-1)?.step ?? 1, 1);
    const x = (step) => left + (wide * step) / end;
    const y = (value) => top + high * (1 - Math.min(value / most, 1));
    const rules = [0, 0.5, 1].flatMap((share) => [
      svg("line", { x1: left, x2: left + wide, y1: y(share * most), y2: y(share * most), class: "rule" }),
      svg(
        "text",
        { x: left - 8, y: y(share * most) + 4, "text-anchor": "end" },
        points.length || this.percents ? text(share * most) : "",
      ),
    ]);
    const line = points.map((p) => `${x(p.step).toFixed(1)},${y(p[this.of]).toFixed(1)}`).join(" ");
    const dots =
      this.percents || points.length < 2
        ? points.map((p) => svg("circle", { cx: x(p.step), cy: y(p[this.of]), r: 3.5 }))
        : [];
    return svg(
      "svg",
      { viewBox: `0 0 ${left + wide + 14} ${top + high + 24}`, role: "img", "aria-label": this.title },
      rules,
      svg("polyline", { points: line }),
      dots,
      svg("text", { x: left + wide, y: top + high + 18, "text-anchor": "end" }, points.length ? `step ${end}` : ""),
    );
  }
}
