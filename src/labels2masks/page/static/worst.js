// One photo in the list of results: how well the run does on it, and by what that is measured.

import { thumbUrl } from "./api.js";
import { cssShare, el, percent } from "./dom.js";
import { hex, ofConfidence, ofPhoto } from "./palette.js";

/** found: {i, score, by: "truth" | "labels" | null, confidence, learnt, reason}. A photo that the run learnt from says
 *  so: its score is no measure of what others will get. */
export function worstRow(found, photo, open) {
  const { score, confidence } = found;
  const scored = Number.isFinite(score);
  const share = scored ? score : (confidence ?? 0);
  const colour = scored ? hex(ofConfidence(score)) : ofPhoto(share);
  return el(
    "li",
    {},
    el(
      "button",
      { type: "button", "data-i": found.i, onclick: () => open(found.i) },
      el("img", { src: thumbUrl(found.i), alt: "", loading: "lazy" }),
      el("span", { class: "name" }, photo.name, el("small", {}, told(found))),
      el("span", { class: "sure", "--share": cssShare(Math.max(share, 0.02)), "--colour": colour }),
    ),
  );
}

/** The worst first: photos that score what others will get, those that only the model's doubt speaks of, and last those
 *  that it learnt from. Within each they come as the server has ordered them. */
export function worstFirst(photos) {
  const place = ({ score, learnt }) => (!Number.isFinite(score) ? 1 : learnt ? 2 : 0);
  return [...photos].sort((a, b) => place(a) - place(b));
}

function told({ score, by, confidence, learnt, reason }) {
  if (!Number.isFinite(score)) return Number.isFinite(confidence) ? `${percent(confidence)} sure` : (reason ?? "");
  const figure = by === "labels" ? `${percent(score)} of its labels` : `IoU ${(100 * score).toFixed(0)}`;
  return learnt ? `${figure}, learnt from` : figure;
}
