/** The figures beside a chart. */

/** Two to four round figures from 0 up. */
export function roundSteps(max: number, base: 2 | 10): number[] {
  const rounds = base === 2 ? [1, 2, 4, 8] : [1, 2, 5, 10];
  const unit =
    base === 2
      ? 16 ** Math.floor(Math.log(max / 3) / Math.log(16))
      : 10 ** Math.floor(Math.log10(max / 3));
  const step = Math.max(
    unit * (rounds.find((round) => unit * round >= max / 3.5) ?? 16),
    base === 10 ? 1 : 0
  );
  const steps = [];
  for (let at = 0; at <= max; at += step) steps.push(at);
  return steps;
}
