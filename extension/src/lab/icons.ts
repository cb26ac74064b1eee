/** The panel's pictures: 16 by 16, in the colour of the text around them. */

const SVG = "http://www.w3.org/2000/svg";

const PATHS = {
  views:
    "M8 3.5c3 0 5.4 1.8 6.8 4.5-1.4 2.7-3.8 4.5-6.8 4.5S2.6 10.7 1.2 8C2.6 5.3 5 3.5 8 3.5zm0 1.4a3.1 3.1 0 1 0 0 6.2 3.1 3.1 0 0 0 0-6.2zm0 1.5a1.6 1.6 0 1 1 0 3.2 1.6 1.6 0 0 1 0-3.2z",
  start: "M5 3.2v9.6L12.6 8z",
  stop: "M4 4h8v8H4z",
  pause: "M4.5 3.5h2.6v9H4.5zM8.9 3.5h2.6v9H8.9z",
  remove: "M6.2 2h3.6l.6 1.2H13v1.3H3V3.2h2.6zM4 5.6h8l-.6 8.4H4.6z",
  logs: "M3 3.4h10v1.3H3zM3 6.1h7v1.3H3zM3 8.8h10v1.3H3zM3 11.5h5v1.3H3z",
  terminal: "M2.6 4.2 3.6 3.2 8 8l-4.4 4.8-1-1L6 8zM8.2 11.4h5.2v1.4H8.2z",
} as const;

export type Icon = keyof typeof PATHS;

export function icon(name: Icon): SVGSVGElement {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", "0 0 16 16");
  svg.setAttribute("width", "16");
  svg.setAttribute("height", "16");
  svg.setAttribute("aria-hidden", "true");
  const path = document.createElementNS(SVG, "path");
  path.setAttribute("d", PATHS[name]);
  path.setAttribute("fill", "currentColor");
  svg.append(path);
  return svg;
}
