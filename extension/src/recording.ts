/**
 * A recording: the mirror of wardian/observe/recording.py, which has read it before it comes here.
 */

import { apply, type Frame, type FrameMessage, type View } from "./frames.js";

export interface Head {
  format: string;
  container: string;
  notebook: string;
  machine: string;
  begun_s: number;
}

/** A cell that ran meanwhile; `ended_s` is the recording's end where it did not end before. */
export interface Cell {
  number: number;
  begun_s: number;
  ended_s: number;
}

type Event =
  | (FrameMessage & { at: number })
  | { at: number; kind: "cell"; cell: number; begins: boolean }
  | { at: number; kind: "error"; view: View; what: string }
  | { at: number; kind: "end"; why: string };

export interface Recording {
  head: Head;
  cells: Cell[];
  reels: ReadonlyMap<View, Reel>;
  seconds: number;
  why: string;
}

/** The moment before the next cell begins after this one; the end, where none does. */
export function momentAfter({ cells, seconds }: Recording, number: number | undefined): number {
  const place = cells.findLastIndex((cell) => cell.number === number);
  return (place < 0 ? undefined : cells[place + 1]?.begun_s) ?? seconds;
}

/** What a view showed at a moment. */
export interface Moment {
  frame: Frame | null;
  error: string | null;
}

interface Shot {
  at: number;
  message: FrameMessage | null;
  error: string | null;
}

/** The frames of one view. Whole ones come often enough that any can be made in little time. */
export class Reel {
  private readonly shots: Shot[] = [];
  private made: { index: number; frame: Frame | null } = { index: -1, frame: null };
  private all: (Frame | null)[] | null = null;

  get times(): number[] {
    return this.shots.map((shot) => shot.at);
  }

  add(shot: Shot): void {
    this.shots.push(shot);
  }

  /** The number of the last frame that had come by then; -1 if none had. */
  index(at: number): number {
    let low = 0;
    let high = this.shots.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((this.shots[middle]?.at ?? 0) <= at) low = middle + 1;
      else high = middle;
    }
    return low - 1;
  }

  moment(index: number): Moment {
    return { frame: this.frame(index), error: this.shots[index]?.error ?? null };
  }

  /** All frames up to this one. */
  past(index: number): Frame[] {
    this.all ??= this.shots.map((shot, number) => (shot.message ? this.frame(number) : null));
    return this.all.slice(0, index + 1).filter((frame) => frame !== null);
  }

  /** Made from the one that was made last, if that lies on the way, or from the last whole one. */
  private frame(index: number): Frame | null {
    let from = index;
    while (from >= 0 && from !== this.made.index && !this.isWhole(from)) from -= 1;
    let frame: Frame | null = null;
    if (from === this.made.index) {
      frame = this.made.frame;
      from += 1;
    }
    for (const { message } of this.shots.slice(Math.max(0, from), index + 1)) {
      if (message !== null) frame = apply(frame, message);
    }
    this.made = { index, frame };
    return frame;
  }

  private isWhole(index: number): boolean {
    return this.shots[index]?.message?.kind === "full";
  }
}

/** Unpacks a file's content. */
export async function unpack(data: ArrayBuffer | ArrayBufferView): Promise<Recording> {
  const unpacking = new DecompressionStream("gzip");
  const writer = unpacking.writable.getWriter();
  const ignore = (): void => undefined; // what is wrong is heard where it is read
  writer.write(data as BufferSource).catch(ignore);
  writer.close().catch(ignore);
  return parse(await new Response(unpacking.readable).text());
}

/** Reads the lines. An event of an unknown kind is passed over. */
export function parse(text: string): Recording {
  const [first, ...rest] = text.trimEnd().split("\n");
  const head = JSON.parse(first ?? "") as Head;
  const reels = new Map<View, Reel>();
  const cells: Cell[] = [];
  const events = rest.map((line) => JSON.parse(line) as Event);
  const seconds = events.at(-1)?.at ?? 0;
  let why = "";
  for (const event of events) {
    switch (event.kind) {
      case "full":
      case "delta":
        reelOf(reels, event.view).add({ at: event.at, message: event, error: null });
        break;
      case "error":
        reelOf(reels, event.view).add({ at: event.at, message: null, error: event.what });
        break;
      case "cell":
        noteCell(cells, event, seconds);
        break;
      case "end":
        why = event.why;
    }
  }
  return { head, cells, reels, seconds, why };
}

function reelOf(reels: Map<View, Reel>, view: View): Reel {
  const reel = reels.get(view) ?? new Reel();
  reels.set(view, reel);
  return reel;
}

function noteCell(
  cells: Cell[],
  event: { at: number; cell: number; begins: boolean },
  seconds: number
): void {
  const last = cells.at(-1);
  if (event.begins) {
    cells.push({ number: event.cell, begun_s: event.at, ended_s: seconds });
  } else if (last?.number === event.cell) {
    last.ended_s = event.at;
  }
}
