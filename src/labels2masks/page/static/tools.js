// The drawing tools, as pure functions: step(draft, event, options) -> {draft, mark}.
//
// draft: what is being drawn, {kind, xy, ...} or null. event: {type, xy} with type "down", "move" (with the button
// held), "hover", "up", "finish" (Enter, double click), "back" (the last corner was wrong).
// options: {width, near}: the ink's width and the distance that counts as the same place, both in photo pixels.
// mark: {kind, xy, width?} once it is finished. Coordinates are photo pixels.

const NONE = { draft: null, mark: null };
const going = (draft) => ({ draft, mark: null });
const ready = (kind, xy, more = {}) => ({ draft: null, mark: { kind, xy, ...more } });
const apart = ([ax, ay], [bx, by]) => Math.hypot(ax - bx, ay - by);

function point(draft, event) {
  return event.type === "down" ? ready("point", [event.xy]) : NONE;
}

function scribble(draft, event, { width, near }) {
  if (event.type === "down") return going({ kind: "scribble", xy: [event.xy], width });
  if (!draft) return NONE;
  const moved = apart(draft.xy.at(-1), event.xy) >= near / 4;
  const xy = moved && event.type !== "finish" ? [...draft.xy, event.xy] : draft.xy;
  if (event.type === "up" || event.type === "finish")
    return ready("scribble", thinned(xy, near / 12), { width: draft.width });
  return going({ ...draft, xy });
}

/** Drag it, or click two corners. */
function box(draft, event, { near }) {
  if (!draft) return event.type === "down" ? going({ kind: "box", xy: [event.xy, event.xy], clicked: false }) : NONE;
  const xy = [draft.xy[0], event.xy];
  const wide = Math.abs(xy[0][0] - xy[1][0]) >= near / 2 && Math.abs(xy[0][1] - xy[1][1]) >= near / 2;
  if (event.type === "back") return NONE;
  if (event.type === "up" && !wide) return going({ ...draft, clicked: true });
  if ((event.type === "up" && !draft.clicked) || (event.type === "down" && draft.clicked)) {
    return wide ? ready("box", ordered(xy)) : going(draft);
  }
  return going({ ...draft, xy });
}

function ordered([[ax, ay], [bx, by]]) {
  return [
    [Math.min(ax, bx), Math.min(ay, by)],
    [Math.max(ax, bx), Math.max(ay, by)],
  ];
}

export const EXTREMES = ["leftmost", "topmost", "rightmost", "lowest"];

function extreme(draft, event) {
  const xy = draft?.xy ?? [];
  if (event.type === "back") return xy.length > 1 ? going({ ...draft, xy: xy.slice(0, -1) }) : NONE;
  if (event.type !== "down") return draft ? going({ ...draft, at: event.xy }) : NONE;
  const all = [...xy, event.xy];
  return all.length === 4 ? ready("extreme", asExtremes(all)) : going({ kind: "extreme", xy: all, at: event.xy });
}

/** Left, top, right, bottom, in whatever order they were clicked. */
function asExtremes(points) {
  const byX = [...points].sort((a, b) => a[0] - b[0]);
  const [left, right] = [byX[0], byX[3]];
  const [top, bottom] = [byX[1], byX[2]].sort((a, b) => a[1] - b[1]);
  return [left, top, right, bottom];
}

/** A click on the first corner, Enter or a double click closes it. */
function polygon(draft, event, { near }) {
  const xy = draft?.xy ?? [];
  const closed = () => (xy.length >= 3 ? ready("polygon", xy) : going(draft));
  if (event.type === "finish") return closed();
  if (event.type === "back") return xy.length > 1 ? going({ ...draft, xy: xy.slice(0, -1) }) : NONE;
  if (event.type !== "down") return draft ? going({ ...draft, at: event.xy }) : NONE;
  if (xy.length >= 3 && apart(xy[0], event.xy) <= near) return closed();
  if (xy.length && apart(xy.at(-1), event.xy) < near / 8) return going(draft);
  return going({ kind: "polygon", xy: [...xy, event.xy], at: event.xy });
}

/** What draws; erasing and the hand draw nothing and are the screen's. */
export const STEPS = { point, scribble, box, extreme, polygon };

export const TOOLS = [
  { tool: "point", key: "p", label: "Point", hint: "Click on something of the class." },
  { tool: "scribble", key: "s", label: "Scribble", hint: "Draw over what is of the class; stay inside it." },
  { tool: "box", key: "b", label: "Box", hint: "Drag a box around one object, or click two corners." },
  { tool: "extreme", key: "e", label: "Extreme", hint: "Click the four outermost points of one object." },
  {
    tool: "polygon",
    key: "l",
    label: "Outline",
    hint: "Click around the object; Enter or the first corner closes it.",
  },
  { tool: "erase", key: "d", label: "Delete", hint: "Click on a mark to delete it." },
  { tool: "hand", key: "h", label: "Move", hint: "Drag the photo. The wheel zooms." },
];

/** Fewer vertices, none of the dropped ones farther than `tolerance` from the line (Douglas and Peucker 1973). */
export function thinned(points, tolerance) {
  if (points.length < 3) return points;
  const [first, last] = [points[0], points.at(-1)];
  let [far, at] = [0, 0];
  for (let k = 1; k < points.length - 1; k++) {
    const off = distanceToSegment(points[k], first, last);
    if (off > far) [far, at] = [off, k];
  }
  if (far <= tolerance) return [first, last];
  return [...thinned(points.slice(0, at + 1), tolerance).slice(0, -1), ...thinned(points.slice(at), tolerance)];
}

export function distanceToSegment([x, y], [ax, ay], [bx, by]) {
  const [dx, dy] = [bx - ax, by - ay];
  const length2 = dx * dx + dy * dy;
  const t = length2 ? Math.min(Math.max(((x - ax) * dx + (y - ay) * dy) / length2, 0), 1) : 0;
  return Math.hypot(x - ax - t * dx, y - ay - t * dy);
}

/** How far a place is from a mark's ink or outline, in photo pixels. */
function distanceTo(mark, at) {
  const reach = mark.kind === "scribble" ? mark.width / 2 : 0;
  const distances = lines(mark).map((line) =>
    line.length === 1
      ? apart(line[0], at)
      : Math.min(...line.slice(1).map((b, k) => distanceToSegment(at, line[k], b))),
  );
  return Math.max(Math.min(Infinity, ...distances) - reach, 0);
}

/** The lines a mark is drawn with; closed ones return to their start. Tags, and masks from files, have none. */
export function lines(mark) {
  if (mark.kind === "region") return mark.polygons.flat().map((ring) => [...ring, ring[0]]);
  if (!mark.xy?.length) return [];
  if (mark.kind === "point" || mark.kind === "scribble") return [mark.xy];
  if (mark.kind === "polygon" || (mark.kind === "box" && mark.xy.length === 4)) return [[...mark.xy, mark.xy[0]]];
  const xs = mark.xy.map((p) => p[0]);
  const ys = mark.xy.map((p) => p[1]);
  const [x0, y0, x1, y1] = [Math.min(...xs), Math.min(...ys), Math.max(...xs), Math.max(...ys)];
  return [
    [
      [x0, y0],
      [x1, y0],
      [x1, y1],
      [x0, y1],
      [x0, y0],
    ],
  ];
}

/** The mark nearest to a place, the newest of equals; null where none is within `near`. */
export function nearest(marks, at, near) {
  let [best, found] = [near, null];
  for (const mark of marks) {
    const distance = distanceTo(mark, at);
    if (distance <= best) [best, found] = [distance, mark];
  }
  return found;
}
