/** Elements of the page, built without markup: nothing that came over the network is ever read as HTML. */

const SVG = "http://www.w3.org/2000/svg";

/**
 * Build an element.
 *
 * @param {string} tag
 * @param {Object<string, *>} [properties] `class`, `data-…`, `aria-…`, `role` and `for` are attributes, `on…` listeners,
 *     the rest properties; what is null or undefined is left out
 * @param {...(Node|string|null|undefined)} children
 * @returns {HTMLElement}
 */
export function element(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === null || value === undefined) continue;
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (/^(class|role|for|colspan|scope)$|^(data|aria)-/.test(name)) made.setAttribute(name, value);
    else made[name] = value;
  }
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

/**
 * An icon of the sheet in index.html; it says nothing to a screen reader.
 *
 * @param {string} name without "icon-"
 * @returns {SVGElement}
 */
export function icon(name) {
  const made = document.createElementNS(SVG, "svg");
  made.setAttribute("class", "icon");
  made.setAttribute("aria-hidden", "true");
  const use = document.createElementNS(SVG, "use");
  use.setAttribute("href", `#icon-${name}`);
  made.append(use);
  return made;
}

/** Show another icon in a button or a tile. */
export function setIcon(within, name) {
  within.querySelector("use").setAttribute("href", `#icon-${name}`);
}

/** The element with this id. */
export function byId(id) {
  return document.getElementById(id);
}

/** Set a text only where it differs: what is read aloud should not be repeated. */
export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}
