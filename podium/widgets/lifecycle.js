
// A click on a bar or a mark tells about it; the arrow keys go from one to the next: along the time, and up and down.
function lifecycle(el) {
  let chosen = "";
  const stops = () => [...el.querySelectorAll(".podium-life [role=button]")];
  const choose = (stop) => {
    chosen = stop.dataset.key;
    mend();
    stop.focus({ preventScroll: true });
  };
  const mend = () => {
    const all = stops();
    const one = all.find((stop) => stop.dataset.key === chosen);
    for (const stop of all) {
      stop.setAttribute("tabindex", stop === (one ?? all[0]) ? "0" : "-1");
      stop.toggleAttribute("data-chosen", stop === one);
    }
    const told = el.querySelector(".podium-life-told");
    if (told && one) told.textContent = one.getAttribute("aria-label");
    else if (told) told.textContent = all.length ? "Click a bar or a mark, or go through them with the arrow keys." : "";
  };
  const centre = (stop) => {
    const box = stop.getBoundingClientRect();
    return [box.left, box.top + box.height / 2];
  };
  el.addEventListener("click", (event) => {
    const stop = event.target.closest(".podium-life [role=button]");
    if (stop) choose(stop);
  });
  el.addEventListener("keydown", (event) => {
    const stop = event.target.closest?.(".podium-life [role=button]");
    const [right, down] = { ArrowRight: [1, 0], ArrowLeft: [-1, 0], ArrowDown: [0, 1], ArrowUp: [0, -1] }[event.key] ?? [];
    if (!stop || right === undefined) return;
    event.preventDefault();
    const [x, y] = centre(stop);
    const near = stops()
      .filter((other) => other !== stop)
      .map((other) => [other, centre(other)])
      .filter(([, [ox, oy]]) => (right ? Math.abs(oy - y) < 8 && (ox - x) * right > 0 : (oy - y) * down > 8))
      .sort(([, a], [, b]) => (right ? Math.abs(a[0] - x) - Math.abs(b[0] - x) :
        Math.abs(a[1] - y) - Math.abs(b[1] - y) || Math.abs(a[0] - x) - Math.abs(b[0] - x)));
    if (near.length) choose(near[0][0]);
  });
  return mend;
}

export default { render: (context) => live(context, lifecycle(context.el)) };
