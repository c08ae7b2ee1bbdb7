// Reads values out of elements. Runs in the page, so what it returns is the page's word and nothing more.
// roots: the elements of a list, or the document alone.  rules: [[name, selector, attribute], …].
// Returns one object for each root: name to text, null where there is no such element or attribute.
(roots, rules) => {
  const LONGEST = 100000;

  const deep = (root, selector) => {
    // Open shadow trees are part of what a person sees; frames of other origins are closed to us as to everybody.
    for (const element of root.querySelectorAll("*")) {
      const found = element.shadowRoot && (element.shadowRoot.querySelector(selector) || deep(element.shadowRoot, selector));
      if (found) return found;
    }
    return null;
  };

  const find = (root, selector) => {
    if (selector.startsWith("/") || selector.startsWith("(") || selector.startsWith("./")) {
      const page = root.ownerDocument || root;
      return page.evaluate(selector, root, null, XPathResult.FIRST_ORDERED_NODE_TYPE, null).singleNodeValue;
    }
    let scope = root;
    const parts = selector.split(">>").map((part) => part.replace(/^:|:$/g, "").trim());
    parts.forEach((part, place) => {
      if (!scope) return;
      const found = scope.querySelector(part)
        || (place === 0 && scope.matches && scope.matches(part) ? scope : null)
        || deep(scope, part);
      const isLast = place === parts.length - 1;
      scope = isLast || !found ? found : found.shadowRoot || found.contentDocument || found;
    });
    return scope;
  };

  const read = (element, attribute) => {
    if (!element) return null;
    if (attribute === "innerText" || attribute === "textContent") {
      const text = "value" in element && /^(INPUT|TEXTAREA|SELECT)$/.test(element.tagName)
        ? element.value : element[attribute] ?? element.textContent;
      return String(text ?? "").trim();
    }
    if (attribute === "innerHTML" || attribute === "outerHTML") return String(element[attribute] ?? "");
    const value = element.getAttribute ? element.getAttribute(attribute) : null;
    if (value === null || !/^(href|src|action|poster)$/.test(attribute)) return value;
    try { return new URL(value, element.baseURI).href; } catch { return value; }
  };

  return roots.map((root) => Object.fromEntries(rules.map(([name, selector, attribute]) => {
    const value = read(find(root, selector), attribute);
    return [name, value === null ? null : String(value).slice(0, LONGEST)];
  })));
}
