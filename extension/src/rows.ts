/** What rows of all views do: glow when something happens, and take the keyboard's focus. */

/** Where more than so many change at once nobody can look at each, and the page has to draw them. */
const MOST_GLOWING = 12;
const glowing = new Set<HTMLElement>();

/** Restarts the glow even if it is still fading; of all rows of a frame at once. */
export function glow(element: HTMLElement): void {
  if (glowing.size === 0) queueMicrotask(restart);
  glowing.add(element);
}

function restart(): void {
  const elements = [...glowing];
  glowing.clear();
  if (elements.length > MOST_GLOWING) return;
  for (const element of elements) element.classList.remove("wd-glow");
  elements[0]?.getBoundingClientRect(); // lets the browser see that the class was gone
  for (const element of elements) element.classList.add("wd-glow");
}

/** Of a list one row is in the tab order, whatever has come and gone. */
export function keepOneTabStop(rows: readonly HTMLElement[]): void {
  const current = rows.find((row) => row.tabIndex === 0) ?? rows[0];
  for (const row of rows) {
    const wanted = row === current ? 0 : -1;
    if (row.tabIndex !== wanted) row.tabIndex = wanted;
  }
}

/** One row of a list is in the tab order (a roving tabindex); the arrows move it. */
export function moveFocus(from: HTMLElement, to: Element | null): void {
  if (to instanceof HTMLElement) {
    from.tabIndex = -1;
    to.tabIndex = 0;
    to.focus();
  }
}

/**
 * The keys of a tree (WAI-ARIA Authoring Practices): the arrows move, open and close, Enter and
 * Space `choose`. A row has its path, and says whether it is open.
 */
export function onTreeKey(
  event: KeyboardEvent,
  toggle: (path: string) => void,
  choose: (path: string, isParent: boolean) => void
): void {
  const row = (event.target as HTMLElement).closest<HTMLElement>(".wd-row");
  if (row === null) return;
  const path = row.dataset.path ?? "";
  const expanded = row.getAttribute("aria-expanded");
  if (event.key === "ArrowDown") moveFocus(row, row.nextElementSibling);
  else if (event.key === "ArrowUp") moveFocus(row, row.previousElementSibling);
  else if (event.key === "ArrowLeft" && expanded === "true") toggle(path);
  else if (event.key === "ArrowRight" && expanded === "false") toggle(path);
  else if (event.key === "Enter" || event.key === " ") choose(path, expanded !== null);
  else return;
  event.preventDefault();
  event.stopPropagation(); // the notebook has its own idea of these keys
}
