
// The time line: how far it is shown (scrub, play) and how wide (zoom). All of it happens here, without the kernel.
function timeline(el) {
  let until = 1000; // ‰ of the whole time; 1000 shows all, and what comes
  let zoom = 1;
  let playing = 0;
  const PLAY = 8000; // ms for the whole way
  const mend = () => {
    const length = Number(el.querySelector(".podium-tools")?.dataset.length ?? 0);
    const at = (length * until) / 1000;
    const steps = [...el.querySelectorAll("[data-at]")];
    let shown = 0;
    for (const step of steps) {
      const later = until < 1000 && Number(step.dataset.at) > at;
      step.toggleAttribute("data-later", later);
      if (!later && step.classList.contains("podium-step")) shown += 1;
    }
    const input = el.querySelector(".podium-tools input");
    if (!input) return;
    const said = `${at.toFixed(0)} of ${length.toFixed(0)} ms: ${shown} steps`;
    if (input.value !== String(until)) input.value = until;
    input.setAttribute("aria-valuetext", said);
    el.querySelector(".podium-until").textContent = said;
    for (const line of el.querySelectorAll(".podium-now")) {
      line.style.left = `${until / 10}%`;
      line.style.display = until < 1000 ? "block" : "none";
    }
    const play = el.querySelector("[data-tool=play]");
    play.textContent = playing ? "❚❚ Pause" : "▶ Play";
  };
  const show = (value) => {
    until = Math.max(0, Math.min(1000, value));
    mend();
  };
  const stop = () => {
    cancelAnimationFrame(playing);
    playing = 0;
    mend();
  };
  const play = () => {
    if (until >= 1000) until = 0;
    const began = performance.now() - (until / 1000) * PLAY;
    const frame = (now) => {
      if (!el.isConnected) return;
      show(((now - began) / PLAY) * 1000);
      if (until >= 1000) return stop();
      playing = requestAnimationFrame(frame);
    };
    playing = requestAnimationFrame(frame);
    mend();
  };
  const widen = (value, centre = 0.5) => {
    const before = zoom;
    zoom = Math.max(1, Math.min(100, value));
    el.style.setProperty("--podium-zoom", zoom);
    for (const scroll of el.querySelectorAll(".podium-scroll")) {
      const half = (scroll.clientWidth - 226) * centre;
      scroll.scrollLeft = ((scroll.scrollLeft + half) * zoom) / before - half;
    }
  };
  el.addEventListener("input", (event) => {
    if (!event.target.closest(".podium-tools")) return;
    if (playing) stop();
    show(Number(event.target.value));
  });
  el.addEventListener("click", (event) => {
    const tool = event.target.closest("[data-tool]")?.dataset.tool;
    if (tool === "play") playing ? stop() : play();
    if (tool === "in") widen(zoom * 1.6);
    if (tool === "out") widen(zoom / 1.6);
    if (tool === "fit") widen(1);
  });
  el.addEventListener("keydown", (event) => {
    if (!event.target.closest?.(".podium-scroll") || event.ctrlKey || event.metaKey) return;
    if (event.key === "+") widen(zoom * 1.6);
    else if (event.key === "-") widen(zoom / 1.6);
    else if (event.key === "0") widen(1);
    else return;
    event.preventDefault();
  });
  el.addEventListener("wheel", (event) => {
    const scroll = event.target.closest?.(".podium-scroll");
    if (!scroll || !event.ctrlKey) return;
    event.preventDefault();
    const box = scroll.getBoundingClientRect();
    widen(zoom * Math.exp(-event.deltaY / 300), (event.clientX - box.left - 226) / (box.width - 226));
  }, { passive: false });
  return mend;
}

export default { render: (context) => live(context, timeline(context.el)) };
