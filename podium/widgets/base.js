// Shows what the kernel drew: changes only what differs, so that focus, scrolling and selection stay; sends clicks back.

function morph(have, want) {
  if (have.isEqualNode(want)) return;
  if (have.nodeName !== want.nodeName) return have.replaceWith(want);
  if (have.nodeType !== Node.ELEMENT_NODE) return (have.nodeValue = want.nodeValue);
  for (const { name } of [...have.attributes]) if (!want.hasAttribute(name)) have.removeAttribute(name);
  for (const { name, value } of want.attributes) if (have.getAttribute(name) !== value) have.setAttribute(name, value);
  const wanted = new Set([...want.children].map((child) => child.dataset.key));
  const keyed = new Map();
  for (const child of [...have.children]) {
    if (!child.dataset.key) continue;
    if (wanted.has(child.dataset.key)) keyed.set(child.dataset.key, child);
    else child.remove();
  }
  let at = have.firstChild;
  for (const next of [...want.childNodes]) {
    const key = next.dataset?.key;
    const match = key ? keyed.get(key) : at?.dataset?.key ? undefined : at;
    if (!match) {
      have.insertBefore(next, at);
      continue;
    }
    if (match === at) at = at.nextSibling;
    else have.insertBefore(match, at);
    morph(match, next);
  }
  while (at) {
    const next = at.nextSibling;
    at.remove();
    at = next;
  }
}

// Arrow keys, Home and End within [data-arrows]; in a tree, right opens a branch and left closes it.
function move(event) {
  const group = event.target.closest("[data-arrows]");
  if (!group || event.altKey || event.ctrlKey || event.metaKey || event.shiftKey) return;
  const stops = [...group.querySelectorAll("button:not([disabled]), [tabindex]")].filter((stop) => stop.offsetParent);
  const at = stops.indexOf(event.target);
  const opened = event.target.getAttribute("aria-expanded");
  if ((event.key === "ArrowRight" && opened === "false") || (event.key === "ArrowLeft" && opened === "true")) {
    event.target.click();
  } else {
    const to = { ArrowDown: at + 1, ArrowRight: at + 1, ArrowUp: at - 1, ArrowLeft: at - 1, Home: 0, End: stops.length - 1 };
    if (at < 0 || !(event.key in to)) return;
    stops[Math.max(0, Math.min(stops.length - 1, to[event.key]))].focus();
  }
  event.preventDefault();
}

// Keeps `el` the picture of `model`; calls after(el) whenever it has changed. Returns what ends it.
function live({ model, el }, after = () => {}) {
  const view = Math.random().toString(36).slice(2);
  const send = (message = {}) => model.send({ view, ...message });
  const draw = () => {
    const want = el.cloneNode(false);
    want.innerHTML = model.get("html");
    const focused = document.activeElement;
    morph(el, want);
    if (focused !== document.activeElement && el.contains(focused)) focused.focus({ preventScroll: true });
    after(el);
  };
  el.classList.add("podium");
  el.setAttribute("data-lm-suppress-shortcuts", ""); // keys pressed in here are not the notebook's
  el.addEventListener("click", (event) => {
    const { do: what, arg } = event.target.closest("[data-do]")?.dataset ?? {};
    if (what) send({ do: what, arg });
  });
  el.addEventListener("keydown", move);
  model.on("change:html", draw);
  draw();
  send();
  const beat = setInterval(send, 20000);
  const seen = () => document.hidden || send();
  document.addEventListener("visibilitychange", seen);
  return () => {
    clearInterval(beat);
    document.removeEventListener("visibilitychange", seen);
    model.off("change:html", draw);
    send({ gone: true });
  };
}
