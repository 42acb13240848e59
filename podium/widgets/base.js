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

const stopsOf = (group) => [...group.querySelectorAll("button:not([disabled]), [tabindex]")];
const nameOf = (stop) => `${stop.dataset.do} ${stop.dataset.arg}`;

// The tab key meets each [data-arrows] once: where the focus last was in it, or at its selected or first stop.
function rove(root, last) {
  for (const group of root.querySelectorAll("[data-arrows]")) {
    const stops = stopsOf(group);
    const chosen = (stop) => ["aria-selected", "aria-pressed"].some((name) => stop.getAttribute(name) === "true");
    const here = stops.find((stop) => nameOf(stop) === last) ?? stops.find(chosen) ?? stops[0];
    for (const stop of stops) stop.tabIndex = stop === here ? 0 : -1;
  }
}

// Arrow keys, Home and End within [data-arrows]; in a tree, right opens a branch and left closes it.
function move(event) {
  const group = event.target.closest("[data-arrows]");
  if (!group || event.altKey || event.ctrlKey || event.metaKey || event.shiftKey) return;
  const stops = stopsOf(group);
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
  let last;
  const draw = () => {
    const want = el.cloneNode(false);
    want.innerHTML = model.get("html");
    rove(want, last);
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
  el.addEventListener("focusin", (event) => {
    if (!event.target.closest("[data-arrows]")) return;
    last = nameOf(event.target);
    rove(el, last);
  });
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
