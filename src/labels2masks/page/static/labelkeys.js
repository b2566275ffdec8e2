// The keys of the labelling screen.

import { TOOLS } from "./tools.js";

export function labelKeys(screen) {
  const { app, classes, drawing, stage } = screen;
  const drafting = () => drawing.draft !== null;
  const key = (group, keys, what, run, more = {}) => ({ group, keys, what, run, ...more });
  const arrows = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
  const told = (event) => arrows[event.key];
  const shown = (value) => app.settings.set("shown", app.settings.get("shown") === value ? "photo" : value);
  return [
    ...TOOLS.map(({ tool, key: letter, label }) => key("Draw", [letter], label, () => drawing.take(tool))),
    key("Draw", ["x"], "Not this: what is drawn is not of the class", () => screen.toggleNot()),
    key("Draw", ["t"], "Tag: the class is in the photo (with “Not this”: it is not)", () =>
      drawing.tag(classes.chosen, drawing.negative),
    ),
    key("Draw", ["["], "Thinner ink", () => {
      screen.width = screen.width * 0.8 - 0.5;
    }),
    key("Draw", ["]"], "Thicker ink", () => {
      screen.width = screen.width * 1.25 + 0.5;
    }),
    key("Draw", ["Ctrl+z"], "Undo", () => drawing.undo()),
    key("Draw", ["Ctrl+y", "Ctrl+Shift+z"], "Redo", () => drawing.redo()),
    key("Draw", ["Enter"], "Close the outline", () => drawing.finish(), { when: drafting }),
    key("Draw", ["Backspace"], "Take the last corner back", () => drawing.back(), { when: drafting }),
    key("Draw", ["Escape"], "Drop what is half drawn", () => drawing.drop(), { when: drafting }),

    key("Draw without a mouse", Object.keys(arrows), "Move the cross", (e) => stage.step(...told(e), false)),
    key(
      "Draw without a mouse",
      Object.keys(arrows).map((k) => `Shift+${k}`),
      "Move it by one pixel",
      (e) => stage.step(...told(e), true),
      { shown: ["Shift+ArrowLeft"] },
    ),
    key("Draw without a mouse", ["Space"], "Press the pen down, or lift it", (e) => {
      if (!e.repeat) stage.press(drawing.drags);
    }),

    ...Array.from({ length: 9 }, (_, k) =>
      key(
        "Classes",
        [String(k + 1)],
        "Take class 1 to 9",
        () => classes.choose(classes.names[k]),
        k ? { hidden: true } : { shown: ["1", "9"] },
      ),
    ),
    key("Classes", ["c"], "Next class", () => classes.step(1)),
    key("Classes", ["Shift+c"], "Class before", () => classes.step(-1)),
    key("Classes", ["a"], "Add a class", () => classes.edit(null)),
    key("Classes", ["Shift+a"], "Rename, recolour, merge or remove the class", () => classes.edit(classes.chosen)),
    key("Classes", ["y"], "Every one is marked (or there is none)", () => screen.answer(asked(screen), "all")),
    key("Classes", ["u"], "Not all are marked", () => screen.answer(asked(screen), "some")),

    key("Photos", [".", "PageDown"], "Next photo", () => screen.turn(1)),
    key("Photos", [",", "PageUp"], "Photo before", () => screen.turn(-1)),
    key("Photos", ["n"], "The photo the model is least sure of", () => screen.next()),
    key("Photos", ["v"], "Checked: this mask is right", () => screen.check()),
    key("Photos", ["o"], "All photos at a glance", () => screen.overview()),
    key("Photos", ["Escape"], "Back to the photo", () => screen.overview(false), {
      when: () => screen.element.classList.contains("overview"),
    }),

    key("Look", ["m"], "Mask, or the photo alone", () => shown("mask")),
    key("Look", ["k"], "How sure the model is", () => shown("confidence")),
    key("Look", ["i"], "Marks shown or hidden", () => app.settings.set("marks", !app.settings.get("marks"))),
    key("Look", ["r"], "Sharpen masks (dense CRF), on or off", () => screen.toggleSharp()),
    key("Look", ["g"], "GrabCut, once", () => screen.grabCut()),
    key("Look", ["+", "="], "Zoom in (also the wheel)", () => stage.zoom(1.25), { shown: ["+"] }),
    key("Look", ["-"], "Zoom out", () => stage.zoom(0.8)),
    key("Look", ["f"], "The whole photo", () => stage.frame(null)),
    key("Look", ["z"], "Photo pixels one to one", () => stage.actual()),
    key(
      "Look",
      Object.keys(arrows).map((k) => `Ctrl+${k}`),
      "Push the photo (also: hold the space bar and drag)",
      (e) => stage.pan(...told(e).map((v) => -80 * v)),
      { shown: ["Ctrl+ArrowLeft"] },
    ),
  ];
}

const asked = ({ entry, classes, questions }) => (entry ? questions.asked(entry, classes.chosen) : null);
