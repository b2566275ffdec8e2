// A mask over a photo: colours made once a mask, scaled by the canvas; undecided pixels hatched in screen pixels.

import { coloured, confidence, mistakes, undecided } from "./overlay.js";
import { rgb } from "./palette.js";

/** Layers of one mask. Each is made when it is first painted and kept until the mask or the colours change. */
export class MaskLayer {
  #mask = null;
  #made = new Map();
  #look = "";

  get mask() {
    return this.#mask;
  }

  set mask(mask) {
    this.#mask = mask;
    this.#made.clear();
  }

  /** what: "mask", "truth", "mistakes" or "confidence". look: {colours: ["#rrggbb"], background: index | null,
   *  only: index | null}. frame: [x, y, width, height] of the photo on the canvas. */
  paint(context, frame, what, look, opacity = 1) {
    if (!this.#mask || (what !== "mask" && what !== "confidence" && !this.#mask.truth)) return;
    const known = JSON.stringify(look);
    if (known !== this.#look) this.#made.clear();
    this.#look = known;
    context.save();
    context.globalAlpha = opacity;
    context.imageSmoothingEnabled = true;
    context.drawImage(this.#layer(what, look), ...frame);
    context.restore();
    if (what !== "mistakes") this.#hatch(context, frame, what === "truth");
  }

  #layer(what, look) {
    if (this.#made.has(what)) return this.#made.get(what);
    const paint = { mistakes, confidence }[what] ?? coloured;
    const colours = look.colours.map(rgb);
    const shown = what === "truth" ? { ...this.#mask, index: this.#mask.truth, sure: null } : this.#mask;
    this.#made.set(what, sheetOf(paint(shown, colours, { only: look.only, faint: look.background }), shown));
    return this.#made.get(what);
  }

  #hatch(context, frame, ofTruth) {
    const index = ofTruth ? this.#mask.truth : this.#mask.index;
    const kind = ofTruth ? "open truth" : "open";
    if (!this.#made.has(kind)) this.#made.set(kind, sheetOf(undecided({ index }), this.#mask));
    paintHatch(context, this.#made.get(kind), frame);
  }
}

export function sheetOf(pixels, { width, height }) {
  const canvas = new OffscreenCanvas(width, height);
  canvas.getContext("2d").putImageData(new ImageData(pixels, width, height), 0, 0);
  return canvas;
}

/** Stripes wherever the stencil is opaque, of one width at any zoom. */
function paintHatch(context, stencil, frame) {
  const { canvas } = context;
  const sheet = new OffscreenCanvas(canvas.width, canvas.height);
  const drawn = sheet.getContext("2d");
  drawn.setTransform(context.getTransform());
  drawn.drawImage(stencil, ...frame);
  drawn.globalCompositeOperation = "source-in";
  drawn.fillStyle = drawn.createPattern(stripes(), "repeat");
  drawn.fillRect(...frame);
  context.save();
  context.setTransform(1, 0, 0, 1, 0, 0);
  context.drawImage(sheet, 0, 0);
  context.restore();
}

let tile = null;

function stripes() {
  if (tile) return tile;
  tile = new OffscreenCanvas(8, 8);
  const context = tile.getContext("2d");
  for (const [style, shift] of [
    ["#ffffffc0", 0],
    ["#000000a0", 1.5],
  ]) {
    context.strokeStyle = style;
    context.lineWidth = 1.4;
    context.beginPath();
    for (const x of [-8, 0, 8]) {
      context.moveTo(x + shift - 1, 9);
      context.lineTo(x + shift + 9, -1);
    }
    context.stroke();
  }
  return tile;
}

export const frameOf = (view, photo) => [view.x, view.y, photo.width * view.scale, photo.height * view.scale];
