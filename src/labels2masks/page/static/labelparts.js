// What the labelling screen is made of: the tools, the photo's frame, the panels beside it.

import { button, choice, el, field, icon } from "./dom.js";
import { TOOLS } from "./tools.js";

/** {tools, ofTool: tool -> its button, not, undo, redo} */
export function toolbar(screen) {
  const ofTool = Object.fromEntries(
    TOOLS.map(({ tool, label, key, hint }) => [
      tool,
      button(
        label,
        key.toUpperCase(),
        () => {
          screen.drawing.take(tool);
          screen.stage.canvas.focus();
        },
        { icon: icon(tool), title: hint, kind: "tool" },
      ),
    ]),
  );
  const not = button("Not this", "X", () => screen.toggleNot(), {
    kind: "tool not",
    title: "What you draw now is not of the class",
  });
  const small = (name, label, keys, run) =>
    el(
      "button",
      {
        type: "button",
        class: "tool",
        "aria-label": label,
        "aria-keyshortcuts": keys,
        title: `${label} (${keys.replace("Control", "Ctrl")})`,
        onclick: run,
      },
      icon(name),
    );
  const undo = small("undo", "Undo", "Control+Z", () => screen.drawing.undo());
  const redo = small("redo", "Redo", "Control+Y", () => screen.drawing.redo());
  const tools = el(
    "div",
    { class: "tools", role: "toolbar", "aria-label": "Tools", "aria-orientation": "vertical" },
    Object.values(ofTool),
    el("hr"),
    not,
    el("hr"),
    el("div", { class: "pair" }, undo, redo),
  );
  return { tools, ofTool, not, undo, redo };
}

/** {centre, hint, note, title, all}: the photo with what is said above and below it. */
export function middle(screen, canvas) {
  const hint = el("p", { class: "hint", role: "status" });
  const note = el("p", { class: "note", role: "status" });
  const title = el("h1", {});
  const all = button("All photos", "O", () => screen.overview(), { "aria-pressed": false });
  const centre = el(
    "div",
    { class: "middle" },
    el("div", { class: "above" }, title, hint, el("span", { class: "gap" }), all),
    canvas,
    el("div", { class: "below" }, note, el("span", { class: "gap" }), zoom(screen.stage)),
  );
  return { centre, hint, note, title, all };
}

function zoom(stage) {
  const say = (sign, label, run) =>
    el("button", { type: "button", "aria-label": label, title: label, onclick: run }, sign);
  return el(
    "div",
    { class: "zoom", role: "group", "aria-label": "Zoom" },
    say("−", "Smaller (key -)", () => stage.zoom(1 / 1.4)),
    say("+", "Larger (key +)", () => stage.zoom(1.4)),
    say("Fit", "The whole photo (key F)", () => stage.frame(null)),
    say("1:1", "Photo pixels (key Z)", () => stage.actual()),
  );
}

/** {aside, shown, sharp, inkWidth, brush, checked}: classes, the question, marks, how the mask is shown. */
export function side(screen) {
  const { settings } = screen.app;
  const shown = choice(
    "What lies over the photo",
    [
      ["mask", "Mask", "M"],
      ["confidence", "Sureness", "K"],
      ["photo", "Photo"],
    ],
    settings.get("shown"),
    (value) => settings.set("shown", value),
  );
  const opacity = el("input", {
    type: "range",
    min: 0.1,
    max: 1,
    step: 0.05,
    value: settings.get("opacity"),
    oninput: (event) => settings.set("opacity", Number(event.target.value)),
  });
  const inkWidth = el("output", {});
  const brush = el("input", {
    type: "range",
    min: 1,
    max: 60,
    step: 1,
    oninput: (event) => {
      screen.width = Number(event.target.value);
    },
  });
  const sharp = button("Sharpen", "R", () => screen.toggleSharp(), {
    title: "Masks follow the edges of the photo (dense CRF), on or off",
  });
  const checked = button("Checked", "V", () => screen.check(), {
    icon: icon("checked"),
    title: "I looked at this mask and it is right",
  });
  const aside = el(
    "aside",
    { class: "side", "aria-label": "This photo" },
    screen.classes.element,
    screen.questions.element,
    screen.marks.element,
    el(
      "section",
      { class: "panel" },
      el("h2", {}, "Mask"),
      shown.element,
      el(
        "div",
        { class: "pairs" },
        field("Strength", opacity),
        el("label", { class: "field" }, el("span", {}, "Ink width ", inkWidth), brush),
      ),
      el(
        "div",
        { class: "row" },
        sharp,
        button("GrabCut", "G", () => screen.grabCut(), { title: "Cut the boxed and drawn objects out" }),
      ),
    ),
    el(
      "div",
      { class: "row finish" },
      checked,
      button("Next unsure", "N", () => screen.next(), {
        kind: "main",
        title: "Open the photo the model is least sure of",
      }),
    ),
  );
  return { aside, shown, sharp, inkWidth, brush, checked };
}
