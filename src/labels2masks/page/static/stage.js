// A photo on a canvas that can be zoomed, pushed and drawn on with mouse, pen or keyboard.
//
// What lies over the photo is painted by the owner: painted(context, view, stage) with CSS pixels as units. What the
// person does arrives at input({type, xy, screen}), xy in photo pixels; types as in tools.js, plus "leave".

import { imageUrl } from "./api.js";
import { paintCross } from "./cross.js";
import { clamped, fitted, framed, panned, sideFor, toPhoto, toScreen, zoomed } from "./view.js";

const STEP = 10;

export class Stage {
  photo = null;
  view = { scale: 1, x: 0, y: 0 };
  hand = false;
  cross = null;
  #image = null;
  #side = 0;
  #ordered = false;
  #grip = null;
  #pressed = false;
  #space = false;
  #pointers = new Map();

  constructor(canvas, { painted, input = () => {} }) {
    Object.assign(this, { canvas, painted, input });
    this.context = canvas.getContext("2d");
    new ResizeObserver(() => this.#resized()).observe(canvas);
    for (const type of ["pointerdown", "pointermove", "pointerup", "pointercancel", "pointerleave"]) {
      canvas.addEventListener(type, (event) => this.#pointer(event));
    }
    canvas.addEventListener("dblclick", (event) => this.#tell("finish", event));
    canvas.addEventListener("contextmenu", (event) => event.preventDefault());
    canvas.addEventListener("wheel", (event) => this.#wheel(event), { passive: false });
    document.addEventListener("keyup", (event) => {
      if (event.key === " ") this.#space = false;
    });
  }

  get size() {
    return { width: this.canvas.clientWidth, height: this.canvas.clientHeight };
  }
  get middle() {
    return [this.size.width / 2, this.size.height / 2];
  }

  /** Show another photo, {i, width, height}, whole or the window [x0, y0, x1, y1] of it. */
  show(photo, window = null) {
    if (photo.i !== this.photo?.i) [this.#image, this.#side] = [null, 0];
    this.photo = photo;
    this.cross = null;
    this.frame(window);
  }

  frame(window) {
    this.window = window;
    this.view = window ? framed(window, this.size) : fitted(this.photo, this.size);
    this.render();
  }

  zoom(factor, at = this.cross ?? this.middle) {
    this.view = zoomed(this.view, factor, at, this.photo, this.size);
    this.window = undefined;
    this.render();
  }

  /** One photo pixel a screen pixel. */
  actual() {
    this.zoom(1 / this.view.scale / (globalThis.devicePixelRatio ?? 1));
  }

  pan(dx, dy) {
    this.view = panned(this.view, dx, dy, this.photo, this.size);
    this.window = undefined;
    this.render();
  }

  render() {
    if (this.#ordered || !this.photo) return;
    this.#ordered = true;
    requestAnimationFrame(() => {
      this.#ordered = false;
      this.#paint();
    });
  }

  /** Keyboard drawing: the cross moves, and draws while it is pressed down. */
  step(dx, dy, fine) {
    const by = fine ? 1 : STEP;
    const [x, y] = this.cross ?? this.middle;
    const { width, height } = this.size;
    this.cross = [Math.min(Math.max(x + dx * by, 0), width), Math.min(Math.max(y + dy * by, 0), height)];
    this.#said(this.#pressed ? "move" : "hover", this.cross);
    this.render();
  }

  /** The space bar: presses and lifts the pen at the cross; without a cross it holds the photo to be dragged. */
  press(holds) {
    if (!this.cross) {
      this.#space = true;
      return;
    }
    if (holds) {
      this.#pressed = !this.#pressed;
      this.#said(this.#pressed ? "down" : "up", this.cross);
    } else {
      this.#said("down", this.cross);
      this.#said("up", this.cross);
    }
    this.render();
  }

  lift() {
    this.#pressed = false;
  }

  #resized() {
    const ratio = globalThis.devicePixelRatio ?? 1;
    const { width, height } = this.size;
    this.canvas.width = Math.max(Math.round(width * ratio), 1);
    this.canvas.height = Math.max(Math.round(height * ratio), 1);
    if (this.photo && this.window !== undefined) this.frame(this.window);
    else this.render();
  }

  /** The photo is asked for as sharp as the screen can show it, once the present zoom needs more than there is. */
  #fetch() {
    const side = sideFor(this.view, this.photo, globalThis.devicePixelRatio ?? 1);
    if (side <= this.#side) return;
    this.#side = side;
    const [wanted, image] = [this.photo.i, new Image()];
    image.onload = () => {
      if (this.photo.i !== wanted || image.naturalWidth < (this.#image?.naturalWidth ?? 0)) return;
      this.#image = image;
      this.canvas.dataset.photo = wanted;
      this.render();
    };
    image.onerror = () => {
      if (this.photo.i === wanted) this.#side = 0;
    };
    image.src = imageUrl(wanted, side);
  }

  #paint() {
    const [context, ratio] = [this.context, globalThis.devicePixelRatio ?? 1];
    const { scale, x, y } = this.view;
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, this.size.width, this.size.height);
    this.#fetch();
    const [w, h] = [this.photo.width * scale, this.photo.height * scale];
    context.fillStyle = "#3a3d43";
    context.fillRect(x, y, w, h);
    context.imageSmoothingEnabled = scale * ratio < 8; // beyond, a person wants to see the pixels
    context.imageSmoothingQuality = "high";
    if (this.#image) context.drawImage(this.#image, x, y, w, h);
    this.painted(context, this.view, this);
    if (this.cross) paintCross(context, this.cross, { colour: this.#pressed ? "#ffd23f" : "#2f6f8f" });
  }

  #at(event) {
    const frame = this.canvas.getBoundingClientRect();
    return [event.clientX - frame.left, event.clientY - frame.top];
  }

  #said(type, screen) {
    if (this.photo) this.input({ type, screen, xy: clamped(toPhoto(this.view, screen), this.photo) });
  }

  #tell(type, event) {
    this.#said(type, this.#at(event));
  }

  #pointer(event) {
    if (!this.photo) return;
    const at = this.#at(event);
    if (event.type === "pointerdown") {
      this.cross = null;
      this.canvas.focus({ preventScroll: true });
      this.canvas.setPointerCapture(event.pointerId);
      this.#pointers.set(event.pointerId, at);
      if (this.hand || this.#space || event.button === 1 || event.button === 2 || this.#pointers.size > 1)
        this.#grip = at;
      else if (event.button === 0) {
        this.#pressed = true;
        this.#said("down", at);
      }
    } else if (event.type === "pointermove") {
      if (this.#pointers.size === 2) this.#pinched(event.pointerId, at);
      else if (this.#grip) {
        this.pan(at[0] - this.#grip[0], at[1] - this.#grip[1]);
        this.#grip = at;
      } else if (this.#pressed) for (const e of event.getCoalescedEvents?.() ?? [event]) this.#tell("move", e);
      else if (!this.cross) this.#said("hover", at);
      if (this.#pointers.has(event.pointerId)) this.#pointers.set(event.pointerId, at);
    } else if (event.type === "pointerleave") {
      if (!this.#pressed) this.#said("leave", at);
    } else {
      this.#pointers.delete(event.pointerId);
      if (this.#pressed && !this.#grip) this.#said("up", at);
      this.#grip = null;
      this.#pressed = false;
    }
    this.canvas.dataset.grip = this.#grip ? "held" : this.hand || this.#space ? "open" : "";
    this.render();
  }

  /** Two fingers: their distance zooms, their middle pushes. */
  #pinched(id, at) {
    const was = [...this.#pointers.values()];
    const is = [...new Map(this.#pointers).set(id, at).values()];
    const middle = ([a, b]) => [(a[0] + b[0]) / 2, (a[1] + b[1]) / 2];
    const length = ([a, b]) => Math.max(Math.hypot(a[0] - b[0], a[1] - b[1]), 1);
    const [from, to] = [middle(was), middle(is)];
    this.zoom(length(is) / length(was), from);
    this.pan(to[0] - from[0], to[1] - from[1]);
  }

  #wheel(event) {
    event.preventDefault();
    if (this.photo)
      this.zoom(Math.exp(-Math.max(-60, Math.min(event.deltaY, 60)) / (event.ctrlKey ? 60 : 250)), this.#at(event));
  }

  /** Where a photo point is on the page, for tests and for what floats over the photo. */
  screenOf(xy) {
    const frame = this.canvas.getBoundingClientRect();
    const [x, y] = toScreen(this.view, xy);
    return [x + frame.left, y + frame.top];
  }
}
