(() => {
  const ATTRIBUTES = ["aria-label", "title", "placeholder"];
  const TEXTS = "[data-testid='InputInstructions'], [data-testid='stFileUploaderDropzone'], [data-testid='stTooltipContent'], "
    + "[data-testid='stFileChip'], [data-testid='stSelectboxVirtualDropdown'], [role='listbox']";

  function begin() {
    const given = new WeakMap();  // for each node what stood there by name, and what it was made
    let words = [];

    const inPageLanguage = (theirs) => {
      const found = words.find(([pattern]) => pattern.test(theirs));
      return found ? theirs.replace(...found) : theirs;
    };
    const turn = (node, name, now, set) => {
      const known = given.get(node)?.[name];
      const theirs = known?.ours === now ? known.theirs : now;
      const ours = inPageLanguage(theirs);
      if (ours === now) return;
      given.set(node, { ...given.get(node), [name]: { theirs, ours } });
      set(ours);
    };
    const element = (node) => ATTRIBUTES.filter((name) => node.hasAttribute(name)).forEach(
      (name) => turn(node, name, node.getAttribute(name), (ours) => node.setAttribute(name, ours)));
    const text = (node) => node.parentElement?.closest(TEXTS)
      && turn(node, "text", node.nodeValue, (ours) => { node.nodeValue = ours; });
    const one = (node) => (node.nodeType === Node.TEXT_NODE ? text(node) : element(node));
    const all = (root) => {
      if (root.nodeType !== Node.TEXT_NODE && root.nodeType !== Node.ELEMENT_NODE) return;
      one(root);
      const below = document.createTreeWalker(root, NodeFilter.SHOW_ELEMENT | NodeFilter.SHOW_TEXT);
      while (below.nextNode()) one(below.currentNode);
    };

    new MutationObserver((changes) => changes.forEach((change) => {
      if (change.type === "childList") change.addedNodes.forEach(all);
      else one(change.target);
    })).observe(document.body, {
      subtree: true, childList: true, characterData: true, attributes: true, attributeFilter: ATTRIBUTES,
    });
    return (said) => {
      words = said.map(([pattern, ours]) => [new RegExp(`^${pattern}$`), ours]);
      all(document.body);
    };
  }

  (window.praxisSpeak ??= begin())(WORDS);
})();
