/** A line through points as the path of an SVG, with a gap where nothing is known. */

/** Across, and down if it is known. */
export type Spot = readonly [x: number, y: number | null];

export interface Curve {
  line: string;
  /** The same closed at a level below, to be filled. */
  area: string;
}

/** `isStepped`: each figure holds until the next one. */
export function curve(spots: readonly Spot[], base: number, isStepped: boolean): Curve {
  const made = { line: "", area: "" };
  for (const run of runs(spots)) {
    const [begin = [0, 0], ...rest] = run;
    const [end] = run.at(-1) ?? begin;
    const steps = rest.map(([x, y]) => (isStepped ? `H${x}V${y}` : `L${x},${y}`)).join("");
    const line = `M${begin.join()}${steps}`;
    made.line += rest.length === 0 ? `${line}Z` : line; // a point alone is a dot
    made.area += `${line}L${end},${base}H${begin[0]}Z`;
  }
  return made;
}

/** Points side by side that are known, to a tenth of a pixel. */
function runs(spots: readonly Spot[]): [number, number][][] {
  const found: [number, number][][] = [[]];
  for (const [x, y] of spots) {
    if (y === null) found.push([]);
    else found.at(-1)?.push([tenth(x), tenth(y)]);
  }
  return found.filter((run) => run.length > 0);
}

function tenth(value: number): number {
  return Math.round(value * 10) / 10;
}
