/** The colours of the client in whose frame the page is shown, instead of those of the person's system. */

const LIGHT = "(prefers-color-scheme: light)";
const found = [];

/**
 * Follow a widget's host; where it names no theme, the system's preference stays.
 *
 * @param {WidgetMatrix} widget
 */
export function followTheme(widget) {
  show(widget.theme);
  widget.addEventListener("theme", ({ detail }) => show(detail.theme));
}

// Names are the host's own: "light", "dark", "legacy-light", "custom-…". One that says nothing leaves it to the system.
function show(theme) {
  let when = LIGHT;
  if (/light/i.test(theme)) when = "all";
  else if (/dark|black/i.test(theme)) when = "not all";
  for (const rule of lightRules()) rule.media.mediaText = when;
}

// The page is dark but for the rules that ask for a light scheme; once found they are kept, since their condition changes.
function lightRules() {
  if (found.length === 0) {
    const rules = [...document.styleSheets].flatMap((sheet) => [...sheet.cssRules]);
    found.push(...rules.filter((rule) => rule.media?.mediaText === LIGHT));
  }
  return found;
}
