/** Commands that say or do the same as a view: what they are, apart from any view. */

/** Who may run a line: root, anybody, or a program, by a system call. */
export type Caller = "root" | "anybody" | "program";

export interface Command {
  /** For sh(1), or a system call in C. */
  line: string;
  /** What it says or does. */
  says: string;
  by: Caller;
  /** It changes something: not to be run for a moment that is past. */
  changes: boolean;
}

export interface Section {
  title: string;
  commands: Command[];
  /** What has to be known first, or why there are none. */
  note?: string;
}

function command(line: string | null, says: string, by: Caller, changes = false): Command[] {
  return line ? [{ line, says, by, changes }] : [];
}

/** Lines that need root's rights; none where a name can be no word of a line. */
export function asRoot(line: string | null, says: string): Command[] {
  return command(line, says, "root");
}

/** The same, and they change something. */
export function asRootChanging(line: string | null, says: string): Command[] {
  return command(line, says, "root", true);
}

export function asAnybody(line: string | null, says: string): Command[] {
  return command(line, says, "anybody");
}

/** A system call that changes something. */
export function asCall(line: string, says: string): Command[] {
  return command(line, says, "program", true);
}

/** A string of C. Paths of the host only: their characters are printable. */
export function cString(text: string): string {
  return JSON.stringify(text);
}
