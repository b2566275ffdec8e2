// Where a photo lies on the screen. A view is {scale, x, y}: screen = photo * scale + (x, y), in CSS pixels.

const MOST = 40;

/** The whole photo in the middle of the stage. Sizes are {width, height}. */
export function fitted(photo, stage, margin = 16) {
  const scale = Math.min(
    Math.max(stage.width - 2 * margin, 1) / photo.width,
    Math.max(stage.height - 2 * margin, 1) / photo.height,
    MOST,
  );
  return centred(photo, stage, scale);
}

function centred(photo, stage, scale) {
  return { scale, x: (stage.width - photo.width * scale) / 2, y: (stage.height - photo.height * scale) / 2 };
}

/** The window [x0, y0, x1, y1] of the photo, as large as it fits. */
export function framed([x0, y0, x1, y1], stage, margin = 16) {
  const scale = Math.min(
    Math.max(stage.width - 2 * margin, 1) / (x1 - x0),
    Math.max(stage.height - 2 * margin, 1) / (y1 - y0),
    MOST,
  );
  return { scale, x: stage.width / 2 - ((x0 + x1) / 2) * scale, y: stage.height / 2 - ((y0 + y1) / 2) * scale };
}

export const toPhoto = (view, [x, y]) => [(x - view.x) / view.scale, (y - view.y) / view.scale];
export const toScreen = (view, [x, y]) => [x * view.scale + view.x, y * view.scale + view.y];

/** Nearer by `factor`, with the place under the screen point `at` left where it is. */
export function zoomed(view, factor, [x, y], photo, stage) {
  const least = Math.min(fitted(photo, stage).scale, 1) / 2;
  const scale = Math.min(Math.max(view.scale * factor, least), MOST);
  const ratio = scale / view.scale;
  return kept({ scale, x: x - (x - view.x) * ratio, y: y - (y - view.y) * ratio }, photo, stage);
}

export function panned(view, dx, dy, photo, stage) {
  return kept({ ...view, x: view.x + dx, y: view.y + dy }, photo, stage);
}

/** A photo can be pushed aside, but a part of it stays in sight. */
function kept(view, photo, stage, least = 60) {
  const inside = (at, size, room) => Math.min(Math.max(at, least - size), room - least);
  return {
    scale: view.scale,
    x: inside(view.x, photo.width * view.scale, stage.width),
    y: inside(view.y, photo.height * view.scale, stage.height),
  };
}

/** A point that can be drawn on: on the photo or on its border. */
export const clamped = ([x, y], photo) => [
  Math.min(Math.max(x, 0), photo.width),
  Math.min(Math.max(y, 0), photo.height),
];

/** The long side a photo is needed in, of those the page asks for: sharp on the screen, no more. */
export function sideFor(view, photo, ratio = 1, sides = [1024, 2048, 4096, 8192]) {
  const longest = Math.max(photo.width, photo.height);
  const wanted = Math.min(longest * view.scale * ratio, longest);
  return Math.min(sides.find((side) => side >= wanted * 0.9) ?? sides.at(-1), Math.max(longest, 1));
}
