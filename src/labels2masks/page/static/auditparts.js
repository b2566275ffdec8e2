// Beside an audited photo: the form that begins an audit, and what its answers say so far.

import { cssShare, el, field, percent, select } from "./dom.js";

/** {run(), clicks(), parts}: the choice of the masks to audit and of the number of pixels. */
export function auditForm(runs) {
  const names = [...new Set([...runs.map((run) => run.name), "instant"])];
  let run = names[0];
  const labels = names.map((name) => [name, name === "instant" ? "the instant model" : name]);
  const clicks = el("input", { type: "number", min: 10, max: 20000, step: 10, value: 200 });
  const masks = select(labels, run, (name) => {
    run = name;
  });
  const parts = [
    el("h2", {}, "New audit"),
    field("Masks of", masks),
    field("Pixels to name", clicks, "200: a band of about ± 8 points, 800: ± 4."),
  ];
  return { run: () => run, clicks: () => Number(clicks.value), parts };
}

/** mIoU with its band, as far as the answers go. */
export function estimated({ miou, low, high, answered }) {
  const known = Number.isFinite(miou);
  const about = known ? `between ${percent(low, 1)} and ${percent(high, 1)}, from ${answered} answers` : null;
  return [
    el("h2", {}, "Estimate"),
    el("p", { class: "big" }, known ? (100 * miou).toFixed(1) : "–", el("small", {}, " mIoU, %")),
    ...(known ? [band(miou, low, high)] : []),
    el("p", {}, about ?? `${answered ?? 0} answers so far`),
  ];
}

function band(value, low, high) {
  const places = { "--low": cssShare(low), "--wide": cssShare(high - low), "--value": cssShare(value) };
  const label = `band from ${percent(low, 1)} to ${percent(high, 1)}`;
  return el("span", { class: "band", role: "img", "aria-label": label, ...places }, el("i"), el("b"));
}
