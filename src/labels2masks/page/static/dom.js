// Elements without a template language: text stays text, whatever a file or a person wrote into it.

const SVG = "http://www.w3.org/2000/svg";

/** el("button", {class: "quiet", onclick: f, "aria-pressed": true}, "Save"). null and false leave an attribute out. */
export function el(tag, attributes = {}, ...children) {
  return filled(document.createElement(tag), attributes, children);
}

export function svg(tag, attributes = {}, ...children) {
  return filled(document.createElementNS(SVG, tag), attributes, children);
}

function filled(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) set(element, name, value);
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

function set(element, name, value) {
  if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
  else if (name.startsWith("--")) element.style.setProperty(name, value);
  else if (name === "value" || name === "checked" || name === "disabled" || name === "hidden") element[name] = value;
  else if (value === null || value === undefined || value === false) element.removeAttribute(name);
  else element.setAttribute(name, name.startsWith("aria-") ? String(value) : value === true ? "" : value);
}

export const change = (element, attributes) => Object.entries(attributes).forEach(([n, v]) => set(element, n, v));

/** A button with its key shown beside it. The key's name is for the eye; the label alone is read out. */
export function button(label, key, run, { icon: drawn = null, kind = "", title = null, ...more } = {}) {
  const hint = key ? el("kbd", { "aria-hidden": true }, key) : null;
  const parts = [drawn, el("span", {}, label), hint];
  return el(
    "button",
    { type: "button", class: kind, onclick: run, title, "aria-keyshortcuts": key || null, ...more },
    parts,
  );
}

/** A labelled form field: the label's text is what a screen reader says. */
export const field = (label, control, note = null) =>
  el("label", { class: "field" }, el("span", {}, label), control, note ? el("small", {}, note) : null);

export function select(options, chosen, changed, attributes = {}) {
  const made = options.map(([value, label]) => {
    const option = el("option", { value }, label);
    option.selected = value === chosen;
    return option;
  });
  return el("select", { ...attributes, onchange: (event) => changed(event.target.value) }, made);
}

/** Several buttons of which one is pressed; `update` presses another. */
export function choice(label, options, chosen, changed) {
  const group = el("div", { class: "choice", role: "group", "aria-label": label });
  const update = (value) => {
    for (const made of group.children) change(made, { "aria-pressed": made.dataset.value === value });
  };
  for (const [value, text, key] of options) {
    const made = button(text, key, () => {
      update(value);
      changed(value);
    });
    made.dataset.value = value;
    group.append(made);
  }
  update(chosen);
  return { element: group, update };
}

const PATHS = {
  point: "M12 12m-4 0a4 4 0 1 0 8 0a4 4 0 1 0-8 0M12 2v4M12 18v4M2 12h4M18 12h4",
  scribble: "M3 16c3-9 6-9 7-4s3 6 5-1 3-6 6-5",
  box: "M4 6h16v12H4z",
  extreme: "M12 6c5 0 7 3 7 6s-3 6-7 6-7-3-7-6 2-6 7-6M12 4v4M12 16v4M3 12h4M17 12h4",
  polygon: "M5 9l8-5 7 7-4 9-9-1z",
  erase: "M5 5l14 14M19 5L5 19",
  hand: "M12 3v18M3 12h18M12 3l-3 3M12 3l3 3M12 21l-3-3M12 21l3-3M3 12l3-3M3 12l3 3M21 12l-3-3M21 12l-3 3",
  undo: "M9 7L4 12l5 5M4 12h10a6 6 0 0 1 6 6",
  redo: "M15 7l5 5-5 5M20 12H10a6 6 0 0 0-6 6",
  checked: "M4 12l6 6L20 6",
  edit: "M4 20l1-5L16 4l4 4L9 19z",
  next: "M5 12h14M13 6l6 6-6 6",
};

/** A line drawing of 24 x 24 in the colour of the text around it. */
export const icon = (name) =>
  svg("svg", { viewBox: "0 0 24 24", class: "icon", "aria-hidden": "true" }, svg("path", { d: PATHS[name] }));

/** A share as CSS wants it: its percent sign allows no space before it. */
export const cssShare = (share) => `${(100 * share).toFixed(1)}%`;

export const percent = (share, digits = 0) => `${(100 * share).toFixed(digits)} %`;
