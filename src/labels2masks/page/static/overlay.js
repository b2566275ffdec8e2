// Masks as pixels: class indices and confidence in, RGBA out. Pure.
//
// mask: {width, height, index: Uint8Array (UNDECIDED = nobody can say yet), sure: Uint8Array 0..255}.

import { ofConfidence } from "./palette.js";

const UNDECIDED = 255;

/** What the server sends for a mask: planes of height x width bytes, one after the other. */
export function asMask({ height, width, planes }) {
  return { height, width, index: planes[0], sure: planes[1], truth: planes[2] ?? null };
}

/** Class colours, strong where the model is sure and on the border of two classes; undecided pixels are clear.
 *  only: the one class that is shown, or null. faint: the index of the background, which is only hinted at. */
export function coloured(mask, coloursC3, { only = null, faint = null } = {}) {
  const { width, height, index, sure } = mask;
  const out = new Uint8ClampedArray(4 * width * height);
  for (let y = 0, k = 0; y < height; y++) {
    for (let x = 0; x < width; x++, k++) {
      const c = index[k];
      if (c === UNDECIDED || !coloursC3[c] || (only !== null && c !== only)) continue;
      const border =
        (x + 1 < width && index[k + 1] !== c) ||
        (y + 1 < height && index[k + width] !== c) ||
        (x > 0 && index[k - 1] !== c) ||
        (y > 0 && index[k - width] !== c);
      const strength = c === faint ? 0.25 : 1;
      out.set(coloursC3[c], 4 * k);
      out[4 * k + 3] = border && c !== faint ? 255 : strength * (90 + (90 * (sure ? sure[k] : 255)) / 255);
    }
  }
  return out;
}

/** How sure the model is, whatever it says. */
export function confidence(mask) {
  const table = Array.from({ length: 256 }, (_, v) => ofConfidence(v / 255));
  const out = new Uint8ClampedArray(4 * mask.index.length);
  for (let k = 0; k < mask.index.length; k++) {
    if (mask.index[k] === UNDECIDED) continue;
    out.set(table[mask.sure[k]], 4 * k);
    out[4 * k + 3] = 210;
  }
  return out;
}

/** Opaque where nobody can say yet: the stencil of the hatching. */
export function undecided(mask) {
  const out = new Uint8ClampedArray(4 * mask.index.length);
  for (let k = 0; k < mask.index.length; k++) if (mask.index[k] === UNDECIDED) out[4 * k + 3] = 255;
  return out;
}

/** Where prediction and truth differ, in the truth's colour; what the truth leaves open is no mistake.
 *  only: mistakes that have to do with this class, or null for all. */
export function mistakes(mask, coloursC3, { only = null } = {}) {
  const out = new Uint8ClampedArray(4 * mask.index.length);
  for (let k = 0; k < mask.index.length; k++) {
    const [said, real] = [mask.index[k], mask.truth[k]];
    if (real === UNDECIDED || said === real || (only !== null && said !== only && real !== only)) continue;
    out.set(coloursC3[real] ?? [255, 255, 255], 4 * k);
    out[4 * k + 3] = 235;
  }
  return out;
}

/** The share of pixels that each class takes, and of the undecided ones under "undecided". */
export function shares(mask, names) {
  const counts = new Uint32Array(256);
  for (const c of mask.index) counts[c]++;
  const total = mask.index.length || 1;
  return { undecided: counts[UNDECIDED] / total, of: Object.fromEntries(names.map((n, c) => [n, counts[c] / total])) };
}
