// Looks at the page as it is laid out, and writes what is wrong with it, as JSON, into the page that
// frames it.
addEventListener("load", () => {
  const wrong = (kind, element, detail) => {
    const text = element.textContent.trim().replace(/\s+/g, " ").slice(0, 60);
    found[kind].push(`<${element.tagName.toLowerCase()}> ${text}: ${detail}`);
  };
  const found = { overflow: [], empty: [], contrast: [], cut: [], touching: [] };
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];
  const box = (element) => element.getBoundingClientRect();
  for (const details of all("details")) details.open = true;

  // What leaves the page to the right, unless it is in a box that scrolls.
  const page = document.documentElement;
  for (const element of all("body *")) {
    if (element.closest("svg") !== null && element.tagName !== "svg") continue;
    const scroller = element.parentElement.closest(".scroll");
    if (scroller === null && box(element).right > innerWidth + 0.5) {
      wrong("overflow", element, `reaches ${box(element).right}`);
    }
  }
  if (page.scrollWidth > innerWidth) wrong("overflow", page, `is ${page.scrollWidth} wide`);

  // What should be seen and has no size.
  const seen = all("h1, h2, h3, svg, figcaption, table, summary, nav a");
  for (const element of seen) {
    if (box(element).width < 1 || box(element).height < 1) wrong("empty", element, "has no size");
  }

  // Text that is hard to read before what is behind it.
  const luminance = (colour) => {
    const part = (value) => {
      const v = value / 255;
      return v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
    };
    const [r, g, b] = colour.match(/[\d.]+/g).map(Number);
    return 0.2126 * part(r) + 0.7152 * part(g) + 0.0722 * part(b);
  };
  const contrast = (a, b) => {
    const [low, high] = [luminance(a), luminance(b)].sort((x, y) => x - y);
    return (high + 0.05) / (low + 0.05);
  };
  const transparent = (colour) => /^(none|transparent|rgba\(.*, 0\))$/.test(colour);
  const background = (element) => {
    for (let e = element; e !== null; e = e.parentElement) {
      const colour = getComputedStyle(e).backgroundColor;
      if (!transparent(colour)) return colour;
    }
    return "rgb(255, 255, 255)";
  };
  const behind = (text, filled) => {
    const { left, right, top, bottom } = box(text);
    const [x, y] = [(left + right) / 2, (top + bottom) / 2];
    const under = filled.filter(
      ([shape, b]) =>
        b.left <= x && x <= b.right && b.top <= y && y <= b.bottom &&
        shape.compareDocumentPosition(text) & Node.DOCUMENT_POSITION_FOLLOWING,
    );
    return under.length ? getComputedStyle(under.at(-1)[0]).fill : background(text);
  };
  let texts = 0;
  let least = 21;
  const judge = (element, ink, paper) => {
    const value = contrast(ink, paper);
    texts += 1;
    least = Math.min(least, value);
    if (value < 4.5) wrong("contrast", element, `${ink} on ${paper} is ${value.toFixed(2)}`);
  };
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    if (walker.currentNode.data.trim() === "" || element.closest("svg, script") !== null) continue;
    judge(element, getComputedStyle(element).color, background(element));
  }

  // Text in pictures: its contrast, whether it is cut off, and whether two touch.
  for (const svg of all("svg")) {
    const filled = all("path, rect", svg)
      .filter((shape) => shape.closest("defs, clipPath") === null)
      .filter((shape) => !transparent(getComputedStyle(shape).fill))
      .map((shape) => [shape, box(shape)]);
    const labels = all("text", svg).map((text) => [text, box(text)]);
    const frame = box(svg);
    for (const [i, [text, a]] of labels.entries()) {
      judge(text, getComputedStyle(text).fill, behind(text, filled));
      if (a.left < frame.left - 1 || a.right > frame.right + 1 ||
          a.top < frame.top - 1 || a.bottom > frame.bottom + 1) {
        wrong("cut", text, "leaves its picture");
      }
      for (const [other, b] of labels.slice(i + 1)) {
        const across = Math.min(a.right, b.right) - Math.max(a.left, b.left);
        const along = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top);
        const share = along / Math.min(a.height, b.height);
        if (across > 0.5 && share > 0.35) wrong("touching", text, `and ${other.textContent}`);
      }
    }
  }

  const result = top.document.createElement("pre");
  result.id = "measured";
  result.textContent = JSON.stringify({
    width: innerWidth,
    dark: matchMedia("(prefers-color-scheme: dark)").matches,
    fetched: performance.getEntriesByType("resource").map((entry) => entry.name),
    pictures: all("svg").length,
    texts,
    least,
    found,
  });
  top.document.body.append(result);
});
