/** What rows of all views do: glow when something happens, and take the keyboard's focus. */

/** Restarts the glow even if it is still fading. */
export function glow(element: HTMLElement): void {
  element.classList.remove("wd-glow");
  element.getBoundingClientRect(); // lets the browser see that the class was gone
  element.classList.add("wd-glow");
}

/** Of a list one row is in the tab order, whatever has come and gone. */
export function keepOneTabStop(rows: readonly HTMLElement[]): void {
  const current = rows.find((row) => row.tabIndex === 0) ?? rows[0];
  for (const row of rows) row.tabIndex = row === current ? 0 : -1;
}

/** One row of a list is in the tab order (a roving tabindex); the arrows move it. */
export function moveFocus(from: HTMLElement, to: Element | null): void {
  if (to instanceof HTMLElement) {
    from.tabIndex = -1;
    to.tabIndex = 0;
    to.focus();
  }
}
