// What the page asks the server. Everything that is not an answer is an Error with one line for the person.

/** The server said no. `status` is HTTP's, `body` what came with it. */
export class Refused extends Error {
  constructor(status, body) {
    super(body?.message ?? `the server answered ${status}`);
    this.status = status;
    this.body = body ?? {};
  }
}

/** Nobody answered: what was asked may have happened or not. */
export class Unreachable extends Error {
  constructor() {
    super("the server does not answer");
  }
}

const PATIENCE = 60_000;

async function ask(method, path, body) {
  let answer;
  try {
    answer = await fetch(path, {
      method,
      credentials: "same-origin",
      cache: "no-store",
      headers: body === undefined ? {} : { "Content-Type": "application/json" },
      body: body === undefined ? undefined : JSON.stringify(body),
      signal: AbortSignal.timeout(PATIENCE),
    });
    if (answer.ok) return answer;
  } catch {
    throw new Unreachable();
  }
  throw new Refused(answer.status, await answer.json().catch(() => null));
}

export const get = async (path) => (await ask("GET", path)).json();
export const post = async (path, body = {}) => (await ask("POST", path, body)).json();

async function planes(answer) {
  const [height, width] = answer.headers.get("X-Shape").split(" ").map(Number);
  const bytes = new Uint8Array(await answer.arrayBuffer());
  const size = height * width;
  const cut = Array.from({ length: Math.floor(bytes.length / size) }, (_, k) =>
    bytes.subarray(k * size, (k + 1) * size),
  );
  return { height, width, planes: cut, version: answer.headers.get("X-Model") };
}

export const getPlanes = async (path) => planes(await ask("GET", path));
export const postPlanes = async (path, body) => planes(await ask("POST", path, body));

export const imageUrl = (i, side) => `/api/photos/${i}/image?side=${Math.round(side)}`;
export const thumbUrl = (i) => `/api/photos/${i}/thumb`;
export const runUrl = (name) => `/api/runs/${encodeURIComponent(name)}`;

const EVENTS = ["features", "model", "photo", "classes", "job", "error"];

/** Hear the server's events for good. A stream that breaks is opened again as soon as the server lets us in.
 *  told(name, data); state("open" | "lost" | "refused"). */
export function listen(told, state) {
  const stream = new EventSource("/api/events");
  stream.onopen = () => state("open");
  for (const name of EVENTS) {
    stream.addEventListener(name, (event) => {
      if (event.data !== undefined) told(name, JSON.parse(event.data));
    });
  }
  stream.onerror = () => {
    if (stream.readyState !== EventSource.CLOSED) return state("lost"); // the browser tries again by itself
    knock(told, state);
  };
}

async function knock(told, state) {
  try {
    await get("/api/project");
    listen(told, state);
  } catch (error) {
    state(error instanceof Refused && error.status === 403 ? "refused" : "lost");
    setTimeout(() => knock(told, state), 2000);
  }
}
