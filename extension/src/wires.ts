/** How edges run between the cards: geometry without a page. */

export interface Box {
  left: number;
  right: number;
  top: number;
  bottom: number;
}

const LANE = 7;
const CORNER = 6;

export function middle(box: Box): number {
  return (box.top + box.bottom) / 2;
}

/**
 * From one row to another: a curve where they stand side by side; where one stands above the other
 * a way along the left edge, in a lane of its own.
 */
export function wire(from: Box, to: Box, lane: number): string {
  if (from.right < to.left) return curve(from.right, middle(from), to.left, middle(to));
  if (to.right < from.left) return curve(from.left, middle(from), to.right, middle(to));
  const x = Math.min(from.left, to.left) - LANE * (lane + 1);
  return around(from.left, middle(from), to.left, middle(to), Math.max(2, x));
}

/** Between two cards, by the right edge, so that it is not taken for a wire. */
export function arc(from: Box, to: Box, lane: number): string {
  const stand = from.right < to.left || to.right < from.left;
  if (stand) {
    const [a, b] = from.left < to.left ? [from, to] : [to, from];
    return curve(a.right, a.top + 12, b.left, b.top + 12);
  }
  const x = Math.max(from.right, to.right) + LANE * (lane + 1);
  return around(from.right, from.top + 14 + lane * 3, to.right, to.top + 14 + lane * 3, x);
}

function curve(x1: number, y1: number, x2: number, y2: number): string {
  const bend = Math.max(24, Math.abs(x2 - x1) / 2) * Math.sign(x2 - x1);
  const [a, b] = [x1 + bend, x2 - bend].map(round);
  return `M${round(x1)} ${round(y1)}C${a} ${round(y1)} ${b} ${round(y2)} ${round(x2)} ${round(y2)}`;
}

function around(x1: number, y1: number, x2: number, y2: number, x: number): string {
  const side = x < x1 ? 1 : -1;
  const down = Math.sign(y2 - y1) || 1;
  const corner = Math.min(CORNER, Math.abs(y2 - y1) / 2);
  const parts = [
    `M${round(x1)} ${round(y1)}H${round(x + side * corner)}`,
    `Q${round(x)} ${round(y1)} ${round(x)} ${round(y1 + down * corner)}`,
    `V${round(y2 - down * corner)}`,
    `Q${round(x)} ${round(y2)} ${round(x + side * corner)} ${round(y2)}H${round(x2)}`,
  ];
  return parts.join("");
}

function round(value: number): number {
  return Math.round(value * 10) / 10;
}
