// Marks painted over a photo: a dark and a bright line around the class colour, so that they show on any ground.

import { EXTREMES, lines } from "./tools.js";
import { inkOn, rgb } from "./palette.js";
import { toScreen } from "./view.js";

const STRAY = "#9aa1ac";

/** look: {colourOf(name), numberOf(name)}; strong: the id of the mark that is pointed at, or null. */
export function paintMarks(context, view, marks, look, strong = null) {
  for (const mark of marks) {
    const colour = look.colourOf(mark.name) ?? STRAY;
    context.save();
    if (mark.kind === "point") paintPoint(context, toScreen(view, mark.xy[0]), colour, look.numberOf(mark.name), mark);
    else if (mark.kind === "scribble") paintScribble(context, view, mark, colour);
    else for (const line of lines(mark)) paintOutline(context, view, line, colour, mark.negative);
    if (mark.kind === "extreme") for (const xy of mark.xy) paintDot(context, toScreen(view, xy), colour, 3.5);
    if (mark.id === strong) paintGlow(context, view, mark);
    context.restore();
  }
}

/** What is being drawn: the line so far and, where the next corner would be, a thin one to it. */
export function paintDraft(context, view, draft, colour, negative) {
  if (!draft) return;
  context.save();
  if (draft.kind === "scribble") paintScribble(context, view, { ...draft, negative }, colour);
  else if (draft.kind === "box") paintOutline(context, view, lines(draft)[0], colour, negative);
  else {
    const line = draft.at ? [...draft.xy, draft.at] : draft.xy;
    paintOutline(context, view, draft.kind === "extreme" ? draft.xy.slice(0, 0) : line, colour, negative);
    draft.xy.forEach((xy, k) =>
      paintDot(context, toScreen(view, xy), colour, k === 0 && draft.xy.length > 2 ? 7 : 4.5),
    );
  }
  context.restore();
}

/** What the tool waits for, said beside the photo. */
export function draftHint(draft) {
  if (draft?.kind === "extreme") return `${draft.xy.length} of 4 points (${EXTREMES.join(", ")}, in any order)`;
  if (draft?.kind === "polygon")
    return `${draft.xy.length} corners; Enter closes, Backspace takes one back, Esc drops it`;
  if (draft?.kind === "box" && draft.clicked) return "Click the opposite corner; Esc drops it";
  return null;
}

function trace(context, view, points) {
  context.beginPath();
  points.forEach((xy, k) => context[k ? "lineTo" : "moveTo"](...toScreen(view, xy)));
}

function paintOutline(context, view, points, colour, negative) {
  if (!points.length) return;
  context.lineJoin = "round";
  trace(context, view, points);
  for (const [style, width, dash] of [
    ["#000000b0", 5, []],
    ["#ffffff", 3.5, []],
    [colour, 2, negative ? [6, 6] : []],
  ]) {
    context.strokeStyle = style;
    context.lineWidth = width;
    context.setLineDash(dash);
    context.stroke();
  }
}

/** Ink lies where it was drawn, at its true width. Negative ink has a dashed white heart. */
function paintScribble(context, view, mark, colour) {
  const width = Math.max(mark.width * view.scale, 3);
  context.lineCap = context.lineJoin = "round";
  if (mark.xy.length === 1) mark = { ...mark, xy: [mark.xy[0], mark.xy[0]] };
  trace(context, view, mark.xy);
  const heart = mark.negative ? [["#ffffff", Math.max(width / 3, 2), [2, 8]]] : [];
  for (const [style, w, dash] of [
    ["#000000b0", width + 3, []],
    ["#ffffff", width + 1.5, []],
    [colour, width, []],
    ...heart,
  ]) {
    context.strokeStyle = style;
    context.lineWidth = w;
    context.setLineDash(dash);
    context.stroke();
  }
}

/** A disc with the number of its class: it needs no colour to be told apart. */
function paintPoint(context, [x, y], colour, number, mark) {
  paintDot(context, [x, y], colour, 9);
  context.fillStyle = inkOn(rgb(colour));
  context.font = "600 11px system-ui, sans-serif";
  context.textAlign = "center";
  context.textBaseline = "middle";
  if (number) context.fillText(number, x, y + 0.5);
  if (!mark.negative) return;
  for (const [style, width] of [
    ["#000000", 4],
    ["#ffffff", 2],
  ]) {
    context.strokeStyle = style;
    context.lineWidth = width;
    context.beginPath();
    context.moveTo(x - 10, y + 10);
    context.lineTo(x + 10, y - 10);
    context.stroke();
  }
}

function paintDot(context, [x, y], colour, radius) {
  for (const [style, r] of [
    ["#000000b0", radius + 2],
    ["#ffffff", radius + 1.2],
    [colour, radius],
  ]) {
    context.fillStyle = style;
    context.beginPath();
    context.arc(x, y, r, 0, 2 * Math.PI);
    context.fill();
  }
}

function paintGlow(context, view, mark) {
  context.strokeStyle = "#ffd23f";
  context.lineWidth = 3;
  context.setLineDash([]);
  context.lineJoin = context.lineCap = "round";
  for (const line of lines(mark)) {
    if (line.length === 1) {
      context.beginPath();
      context.arc(...toScreen(view, line[0]), 14, 0, 2 * Math.PI);
    } else trace(context, view, line);
    context.stroke();
  }
}
