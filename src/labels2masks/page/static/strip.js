// All photos as small pictures: their state as a sign, their mask, and how sure the model is as the length and colour
// of a bar. A strip below the photo, or the whole page (key O).

import { getPlanes, thumbUrl } from "./api.js";
import { change, cssShare, el, percent, select } from "./dom.js";
import { sheetOf } from "./masklayer.js";
import { asMask, coloured } from "./overlay.js";
import { hex, ofConfidence, ofPhoto, rgb } from "./palette.js";

const STATES = {
  untouched: { sign: "○", label: "untouched", told: "nothing said yet" },
  suggested: { sign: "◌", label: "suggested", told: "the model suggests a mask" },
  labelled: { sign: "◐", label: "labelled", told: "has marks" },
  complete: { sign: "●", label: "complete", told: "every class is answered" },
  checked: { sign: "✓", label: "checked", told: "looked at and approved" },
};

export class Strip {
  #thumbs = [];
  #wanted = new Set();
  #busy = false;
  #filter = "all";
  #order = "name";

  constructor(app, { open }) {
    Object.assign(this, { app, open });
    this.list = el("div", { class: "thumbs", role: "list", "aria-label": "Photos" });
    this.count = el("output", {});
    const states = [
      ["all", "all photos"],
      ...Object.entries(STATES).map(([name, s]) => [name, `${s.sign} ${s.label}`]),
    ];
    this.element = el(
      "section",
      { class: "strip", "aria-label": "All photos" },
      el(
        "div",
        { class: "bar" },
        select(
          states,
          "all",
          (value) => {
            this.#filter = value;
            this.arrange();
          },
          { "aria-label": "Show photos that are" },
        ),
        select(
          [
            ["name", "in their order"],
            ["sure", "least sure first"],
          ],
          "name",
          (value) => {
            this.#order = value;
            this.arrange();
          },
          { "aria-label": "Order of the photos" },
        ),
        this.count,
        el("span", { class: "gap" }),
        legend(),
      ),
      this.list,
    );
    this.watch = new IntersectionObserver((seen) => seen.forEach((s) => this.#seen(s)), { rootMargin: "200px" });
  }

  /** Buttons for all photos. Where they are the same photos as before, they are only brought up to date. */
  fill() {
    const names = this.app.project.photos.map((p) => p.name).join("\n");
    if (names === this.names) return this.arrange();
    this.names = names;
    this.watch.disconnect();
    this.#thumbs = this.app.project.photos.map((photo) => {
      const made = {
        image: el("img", { alt: "", decoding: "async", draggable: "false" }),
        canvas: el("canvas", { width: 1, height: 1 }),
        sign: el("span", { class: "sign", "aria-hidden": true }),
        bar: el("span", { class: "sure" }),
        visible: false,
        version: null,
      };
      const open = el(
        "button",
        { type: "button", class: "thumb", onclick: () => this.open(photo.i) },
        el("span", { class: "picture" }, made.image, made.canvas),
        made.sign,
        made.bar,
      );
      made.button = open;
      made.element = el("div", { role: "listitem", "data-i": photo.i }, open);
      this.watch.observe(made.element);
      return made;
    });
    this.arrange();
  }

  /** Those that pass the filter, in the chosen order. */
  arrange() {
    const photos = this.app.project.photos.filter((p) => this.#filter === "all" || p.state === this.#filter);
    if (this.#order === "sure") photos.sort((a, b) => (a.confidence ?? 2) - (b.confidence ?? 2));
    this.list.replaceChildren(...photos.map((p) => this.#thumbs[p.i].element));
    const all = this.app.project.photos.length;
    this.count.textContent = photos.length === all ? `${all} photos` : `${photos.length} of ${all} photos`;
    this.shown = photos.map((p) => p.i);
    for (const i of this.app.project.photos.keys()) this.refresh(i);
  }

  /** The photo before or after `i` among those shown. */
  beside(i, by) {
    const at = this.shown.indexOf(i);
    return this.shown[at < 0 ? 0 : Math.min(Math.max(at + by, 0), this.shown.length - 1)] ?? i;
  }

  refresh(i) {
    const [photo, made] = [this.app.project.photos[i], this.#thumbs[i]];
    if (!made) return;
    const state = STATES[photo.state] ?? STATES.untouched;
    const sure = photo.confidence ?? null;
    const told = sure === null ? "" : `, ${percent(sure)} sure`;
    made.sign.textContent = state.sign;
    change(made.bar, {
      "data-known": sure !== null,
      "--share": cssShare(Math.max(sure ?? 0, 0.04)),
      "--colour": sure === null ? "transparent" : ofPhoto(sure),
    });
    change(made.button, {
      "data-state": photo.state,
      "aria-label": `${photo.name}, ${state.label}${told}`,
      title: `${photo.name}: ${state.label} (${state.told})${told}`,
      "aria-current": i === this.current ? "true" : null,
    });
  }

  select(i) {
    const before = this.current;
    this.current = i;
    if (before !== undefined) this.refresh(before);
    this.refresh(i);
    const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
    this.#thumbs[i]?.element.scrollIntoView({ block: "nearest", inline: "center", behavior: calm ? "auto" : "smooth" });
  }

  /** New masks for these photos (null: all): fetched for those in sight now, for others when they come into sight. */
  stale(photos = null) {
    for (const i of photos ?? this.#thumbs.keys()) if (this.#thumbs[i]) this.#thumbs[i].version = null;
    this.#thumbs.forEach((made, i) => {
      if (made.visible && made.version === null) this.#wanted.add(i);
    });
    this.#fetch();
  }

  #seen({ target, isIntersecting }) {
    const i = Number(target.dataset.i);
    const made = this.#thumbs[i];
    made.visible = isIntersecting;
    if (!isIntersecting) return this.#wanted.delete(i);
    if (!made.image.src) made.image.src = thumbUrl(i);
    if (made.version === null) this.#wanted.add(i);
    this.#fetch();
  }

  async #fetch() {
    if (this.#busy || !this.app.project.model?.version) return;
    this.#busy = true;
    while (this.#wanted.size) {
      const some = [...this.#wanted].slice(0, 4);
      some.forEach((i) => this.#wanted.delete(i));
      await Promise.all(some.map((i) => this.#fetchOne(i)));
    }
    this.#busy = false;
  }

  async #fetchOne(i) {
    const made = this.#thumbs[i];
    try {
      const found = await getPlanes(`/api/photos/${i}/mask?size=thumb`);
      made.version = found.version;
      made.mask = asMask(found);
      this.#paint(made);
    } catch {
      /* no mask yet, or no server: the photo alone is shown, and the next event asks again */
    }
  }

  repaint() {
    for (const made of this.#thumbs) if (made.mask) this.#paint(made);
  }

  #paint({ canvas, mask }) {
    const pixels = coloured(mask, this.app.colours().map(rgb), { faint: this.app.background });
    [canvas.width, canvas.height] = [mask.width, mask.height];
    canvas.getContext("2d").drawImage(sheetOf(pixels, mask), 0, 0);
  }
}

function legend() {
  const signs = Object.values(STATES).map((s) =>
    el("li", { title: s.told }, el("span", { "aria-hidden": true }, s.sign), ` ${s.label}`),
  );
  const ramp = [0, 0.2, 0.4, 0.6, 0.8, 1].map((v) => el("i", { "--colour": hex(ofConfidence(v)) }));
  return el(
    "ul",
    { class: "legend", "aria-label": "What the signs mean" },
    signs,
    el("li", {}, "unsure ", el("span", { class: "ramp", "aria-hidden": true }, ramp), " sure"),
  );
}
